//! Tags of an S3 object: a service that lets us read them tells with the object how many there are. The client of the store
//! passes over that header, so it is handed on as one that the client tells. And names that it cannot read are made readable.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::{Signer, names};

/// What a service says.
const TOLD: &str = "x-amz-tagging-count";
/// Among the object's metadata, of which none is ours.
const HANDED_ON: &str = "x-amz-meta-tagging-count";

/// Connects as ever, and hands on the number of tags, and every name in a listing.
#[derive(Debug)]
pub(super) struct HandsOn {
    pub signer: Signer,
}

#[derive(Debug)]
struct Passing(HttpClient, Signer);

impl HttpConnector for HandsOn {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Passing(client, self.signer.clone())))
    }
}

#[async_trait::async_trait]
impl HttpService for Passing {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_listing = names::is_listing(&request);
        if is_listing {
            names::ask_for_real_name(&mut request, &self.1);
        }
        let mut response = self.0.execute(request).await?;
        if let Some(count) = response.headers().get(TOLD).cloned()
            && count != "0"
        {
            response.headers_mut().insert(HANDED_ON, count);
        }
        match is_listing && response.status().is_success() {
            true => names::readable(response).await,
            false => Ok(response),
        }
    }
}
