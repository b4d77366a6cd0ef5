//! Tags of an S3 object: a service that lets us read them tells with the object how many there are. The client of the store
//! passes over that header, so it is handed on as one that the client tells.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

/// What a service says.
const TOLD: &str = "x-amz-tagging-count";
/// Among the object's metadata, of which none is ours.
const HANDED_ON: &str = "x-amz-meta-tagging-count";

/// Connects as ever, and hands the number of tags on.
#[derive(Debug)]
pub(super) struct TagsAsMetadata;

#[derive(Debug)]
struct Passing(HttpClient);

impl HttpConnector for TagsAsMetadata {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Passing(ReqwestConnector::default().connect(options)?)))
    }
}

#[async_trait::async_trait]
impl HttpService for Passing {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut response = self.0.execute(request).await?;
        if let Some(count) = response.headers().get(TOLD).cloned()
            && count != "0"
        {
            response.headers_mut().insert(HANDED_ON, count);
        }
        Ok(response)
    }
}
