//! Asks as a stranger: without credentials, without cookies, without following anybody, and reading no more than a few KiB.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{HOST, HeaderValue};
use reqwest::{Client, Method, NoProxy, Proxy, RequestBuilder, Response, redirect};
use tokio::time::Instant;

use super::judge::{Answer, Asked, Form, NO_CONNECTION, Probe, Shape};
use crate::store::Signer;

/// A stranger does not wait longer either.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Enough for the beginning of a listing and the code of an error; nothing behind it is read.
const MOST_BODY_BYTES: usize = 4096;
/// Settings are read whole: a policy has 20 KiB at most, and a lifecycle a thousand rules.
const MOST_SETTING_BYTES: usize = 256 * 1024;
/// Questions to one bucket at the same time: few, so that the watch crowds nobody.
const AT_ONCE: usize = 6;
/// What the sealed objects of every kind begin with: the magic of keys/FORMAT.md without its last letter.
const SEALED: &[u8] = b"DCV";
/// The positive control is on this machine.
const NOT_BY_PROXY: &str = "127.0.0.1";
const TOO_LATE: &str = "no answer in time";
/// How the documents of an S3 service begin, behind the XML declaration.
const TOLD: [&str; 6] = [
    "<ListBucketResult",
    "<ListVersionsResult",
    "<ListMultipartUploadsResult",
    "<AccessControlPolicy",
    "<WebsiteConfiguration",
    "\"Statement\"",
];

/// One address of a bucket.
#[derive(Debug, Clone)]
pub struct Address {
    pub form: Form,
    /// Where it is asked, without a slash at the end.
    pub base: String,
    /// Another name to ask for than the one that is connected to.
    pub host: Option<String>,
}

/// What is asked about one bucket in a round.
#[derive(Clone)]
pub(super) struct Questions {
    /// Path of an object that is known to be there.
    pub canary: Option<String>,
    /// Paths of a few of ours.
    pub objects: Vec<String>,
    /// A path that nobody ever had.
    pub missing: String,
    /// A path to try to write to.
    pub write: Option<String>,
}

/// The stranger.
#[derive(Clone)]
pub(super) struct Stranger {
    client: Client,
}

impl Stranger {
    /// No proxy but one that was named: a proxy that refuses everybody would make buckets look private.
    pub fn new(patience: Duration, proxy: Option<&str>) -> Result<Self, reqwest::Error> {
        // Another part of the program may have chosen the provider already; then that one serves.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut client = Client::builder().no_proxy();
        if let Some(proxy) = proxy {
            client = client.proxy(Proxy::all(proxy)?.no_proxy(NoProxy::from_string(NOT_BY_PROXY)));
        }
        let client = client
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(patience)
            .build()?;
        Ok(Self { client })
    }

    /// Every question through one address, as an account if one is given; what has no answer at `until` has none.
    pub async fn ask(
        &self,
        address: &Address,
        questions: &Questions,
        account: Option<&Signer>,
        until: Instant,
    ) -> Vec<Asked> {
        let list = questions.list(address.form);
        futures_util::stream::iter(list)
            .map(|(probe, path, object)| async move {
                let answer = tokio::time::timeout_at(until, self.ask_one(address, probe, &path, account)).await;
                let answer = answer.unwrap_or(Answer::None(TOO_LATE));
                Asked { probe, object, answer }
            })
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    /// The status and the text of one setting, as an account that may read it.
    pub async fn read(&self, address: &Address, path: &str, account: &Signer, until: Instant) -> Option<(u16, String)> {
        let asked = async {
            let answer = self
                .request(address, Method::GET, path, Some(account))?
                .send()
                .await
                .ok()?;
            let status = answer.status().as_u16();
            let body = beginning(answer, MOST_SETTING_BYTES).await.ok()?;
            Some((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout_at(until, asked).await.ok().flatten()
    }

    /// None if it cannot be signed.
    fn request(
        &self,
        address: &Address,
        method: Method,
        path: &str,
        account: Option<&Signer>,
    ) -> Option<RequestBuilder> {
        let signed = match (account, &address.host) {
            (None, _) => Vec::new(),
            (Some(account), None) => account.sign(method.as_str(), &format!("{}{path}", address.base)).ok()?,
            (Some(account), Some(host)) => {
                let (scheme, _) = address.base.split_once("://")?;
                account
                    .sign(method.as_str(), &format!("{scheme}://{host}{path}"))
                    .ok()?
            }
        };
        let mut request = self.client.request(method, format!("{}{path}", address.base));
        if let Some(host) = &address.host
            && let Ok(host) = HeaderValue::from_str(host)
        {
            request = request.header(HOST, host);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        Some(request)
    }

    async fn ask_one(&self, address: &Address, probe: Probe, path: &str, account: Option<&Signer>) -> Answer {
        let method = match probe {
            Probe::HeadBucket | Probe::HeadCanary | Probe::HeadObject | Probe::HeadMissing => Method::HEAD,
            Probe::Write => Method::PUT,
            _ => Method::GET,
        };
        let Some(mut request) = self.request(address, method, path, account) else {
            return Answer::None("the question cannot be signed");
        };
        if probe == Probe::Write {
            // Of a length that none of ours has, and nothing in it.
            request = request.body(vec![0_u8; 8]);
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                match beginning(answer, MOST_BODY_BYTES).await {
                    Ok(body) => Answer::Http {
                        status,
                        shape: shape(&body),
                    },
                    Err(error) => failed(&error),
                }
            }
            Err(error) => failed(&error),
        }
    }
}

impl Questions {
    /// Probe, path and query, and the object that it is about.
    fn list(&self, form: Form) -> Vec<(Probe, String, Option<String>)> {
        let mut list = Vec::new();
        let of_bucket = match form {
            Form::PathStyle | Form::VirtualHost | Form::Configured => &[
                (Probe::ListV1, "/"),
                (Probe::ListV2, "/?list-type=2&max-keys=2"),
                (Probe::ListVersions, "/?versions"),
                (Probe::ListUploads, "/?uploads"),
                (Probe::HeadBucket, "/"),
                (Probe::Acl, "/?acl"),
                (Probe::Policy, "/?policy"),
                (Probe::WebsiteConfiguration, "/?website"),
            ][..],
            Form::Website => &[],
        };
        list.extend(of_bucket.iter().map(|(probe, path)| (*probe, (*path).to_owned(), None)));
        let mut both = |get, head, name: &str, object: Option<&str>| {
            for probe in [get, head] {
                list.push((probe, format!("/{name}"), object.map(str::to_owned)));
            }
        };
        if let Some(canary) = &self.canary {
            both(Probe::GetCanary, Probe::HeadCanary, canary, Some(canary));
        }
        for object in &self.objects {
            both(Probe::GetObject, Probe::HeadObject, object, Some(object));
        }
        both(Probe::GetMissing, Probe::HeadMissing, &self.missing, None);
        if let Some(write) = self.write.as_ref().filter(|_| form != Form::Website) {
            list.push((Probe::Write, format!("/{write}"), Some(write.clone())));
        }
        list
    }
}

/// The first bytes of a body; a body that goes on is let go.
async fn beginning(answer: Response, most_bytes: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        let room = most_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == most_bytes {
            break;
        }
    }
    Ok(body)
}

fn shape(body: &[u8]) -> Shape {
    if body.is_empty() {
        return Shape::Empty;
    }
    if body.starts_with(SEALED) {
        return Shape::Sealed;
    }
    let text = String::from_utf8_lossy(body);
    if TOLD.iter().any(|word| text.contains(word)) {
        return Shape::Told;
    }
    let code = text
        .split("<Code>")
        .nth(1)
        .and_then(|rest| rest.split("</Code>").next());
    match code {
        Some(code) if code.len() <= 64 => Shape::Code(code.to_owned()),
        // AWS's website endpoint says it in a page.
        _ => match text.split("Code: ").nth(1).and_then(|rest| rest.split('<').next()) {
            Some(code) if code.len() <= 64 => Shape::Code(code.to_owned()),
            _ => Shape::Other,
        },
    }
}

/// Why there was no answer; never the error's own words, which hold addresses.
fn failed(error: &reqwest::Error) -> Answer {
    Answer::None(match error {
        e if e.is_timeout() => TOO_LATE,
        e if e.is_connect() => NO_CONNECTION,
        _ => "the answer broke off",
    })
}
