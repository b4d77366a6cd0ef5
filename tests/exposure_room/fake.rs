//! A fake S3 service whose one fault is switched while it runs; as private as the real ones when there is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dashvault::exposure::{Address, address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any watch waits.
const SLOW: Duration = Duration::from_secs(60);
const LISTING: &str = "<ListBucketResult><Name>b</Name></ListBucketResult>";
const OBJECT: &str = "DCVO sealed";

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Anybody lists, each by one of the four ways.
    ListV1,
    ListV2,
    Versions,
    Uploads,
    HeadBucket,
    Acl,
    Policy,
    /// The bucket is a website; its configuration is told.
    Website,
    /// Anybody gets what they can name.
    Get,
    /// Anybody learns the size of what they can name, and nothing more.
    Head,
    /// One object's own access list is open.
    Object(String),
    /// A name that nobody has is told from one that is refused, by the store's word or by the number alone.
    Missing,
    HeadMissing,
    /// Open by one form of address only.
    ByHost,
    ByName,
    /// Whoever has any account lists, or gets what they can name.
    ListByAccount,
    GetByAccount,
    /// Whoever names an account is not believed.
    NotBelieved,
    /// Anybody writes.
    Write,
    Redirect,
    Slow,
    ServerError,
    SlowDown,
    TooMany,
    /// An empty yes to everything.
    Yes,
    /// A page for everything, as a captive portal's.
    Page,
    /// Something that is no object store refuses.
    OtherRefusal,
    NoBucket,
    /// The answer breaks off.
    Cut,
    /// Nobody is connected to it any more.
    HangUp,
}

/// The server, listening as long as the test runs.
#[derive(Clone)]
pub struct Fake {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    fault: Fault,
    /// The names that it holds.
    held: Vec<String>,
    knows_accounts: bool,
}

/// How a question came.
#[derive(PartialEq, Eq)]
enum Form {
    Path,
    Host,
    Named,
}

struct Question {
    form: Form,
    method: String,
    /// Empty for the bucket itself.
    name: String,
    query: String,
    is_signed: bool,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::new(Mutex::new(State {
            fault: Fault::None,
            held: Vec::new(),
            knows_accounts: false,
        }));
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, served.clone()));
            }
        });
        Self { port, state }
    }

    /// Every form of address that it has: by path, by host, and by a name of the operator's.
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses = address::of_bucket(Some(&format!("http://localhost:{}", self.port)), "r", "b");
        addresses.push(address::configured(&format!("http://127.0.0.1:{}/named", self.port)));
        addresses
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn switch(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// From now on some questions may name the account `OTHER`.
    pub fn know_accounts(&self) {
        self.state.lock().unwrap().knows_accounts = true;
    }

    pub fn hold(&self, name: String) {
        self.state.lock().unwrap().held.push(name);
    }
}

impl Question {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // As a proxy is asked, the whole address.
        let target = target
            .strip_prefix("http://")
            .map_or(target, |rest| &rest[rest.find('/').unwrap_or(0)..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_start_matches('/');
        let is_by_host = text.to_lowercase().contains("\r\nhost: b.");
        let (form, name) = match path.split_once('/').unwrap_or((path, "")) {
            _ if is_by_host => (Form::Host, path),
            ("named", name) => (Form::Named, name),
            (_, name) => (Form::Path, name),
        };
        Self {
            form,
            method: method.to_owned(),
            name: name.to_owned(),
            query: query.to_owned(),
            is_signed: text
                .to_lowercase()
                .contains("\r\nauthorization: aws4-hmac-sha256 credential=other/"),
        }
    }

    fn is(&self, method: &str, query: &str) -> bool {
        self.name.is_empty() && self.method == method && self.query.split('&').next() == Some(query)
    }

    fn gets(&self) -> bool {
        !self.name.is_empty() && self.method == "GET"
    }
}

impl State {
    fn reply(&self, asked: &Question) -> (u16, &'static str) {
        let is_held = self.held.contains(&asked.name);
        match &self.fault {
            Fault::ListV1 if asked.is("GET", "") => (200, LISTING),
            Fault::ListV2 if asked.is("GET", "list-type=2") => (200, LISTING),
            Fault::Versions if asked.is("GET", "versions") => (200, "<ListVersionsResult></ListVersionsResult>"),
            Fault::Uploads if asked.is("GET", "uploads") => {
                (200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
            }
            Fault::HeadBucket if asked.is("HEAD", "") => (200, ""),
            Fault::Acl if asked.is("GET", "acl") => (200, "<AccessControlPolicy></AccessControlPolicy>"),
            Fault::Policy if asked.is("GET", "policy") => (200, r#"{"Version":"2012-10-17","Statement":[]}"#),
            Fault::Website if asked.is("GET", "website") => (200, "<WebsiteConfiguration></WebsiteConfiguration>"),
            Fault::Get if asked.gets() && is_held => (200, OBJECT),
            Fault::Head if asked.method == "HEAD" && is_held => (200, ""),
            Fault::Object(open) if asked.name == *open && asked.method != "PUT" => (200, OBJECT),
            Fault::Missing if asked.gets() && !is_held => (404, "<Error><Code>NoSuchKey</Code></Error>"),
            Fault::HeadMissing if asked.method == "HEAD" && !asked.name.is_empty() && !is_held => (404, ""),
            Fault::ByHost if asked.form == Form::Host && asked.is("GET", "list-type=2") => (200, LISTING),
            Fault::ByName if asked.form == Form::Named && asked.gets() && is_held => (200, OBJECT),
            Fault::ListByAccount if asked.is_signed && asked.is("GET", "list-type=2") => (200, LISTING),
            Fault::GetByAccount if asked.is_signed && asked.gets() && is_held => (200, OBJECT),
            Fault::NotBelieved if asked.is_signed => (403, "<Error><Code>InvalidAccessKeyId</Code></Error>"),
            Fault::Write if asked.method == "PUT" => (200, ""),
            Fault::Redirect => (307, ""),
            Fault::ServerError => (500, "<Error><Code>InternalError</Code></Error>"),
            Fault::SlowDown => (503, "<Error><Code>SlowDown</Code></Error>"),
            Fault::TooMany => (429, ""),
            Fault::Yes => (200, ""),
            Fault::Page => (200, "<html>Please sign in</html>"),
            Fault::OtherRefusal => (403, "<html>Forbidden</html>"),
            Fault::NoBucket => (404, "<Error><Code>NoSuchBucket</Code></Error>"),
            _ => (403, "<Error><Code>AccessDenied</Code></Error>"),
        }
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut question).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&question).into_owned();
    let asked = Question::parse(&text);
    let state = state.lock().unwrap().clone();
    assert!(
        state.knows_accounts || !text.to_lowercase().contains("authorization:"),
        "a stranger has no credentials"
    );
    match state.fault {
        Fault::HangUp => return,
        Fault::Slow => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    let (status, body) = state.reply(&asked);
    let sent = if asked.method == "HEAD" { "" } else { body };
    let length = match state.fault {
        Fault::Cut => body.len() + 10,
        _ => body.len(),
    };
    let head = format!(
        "HTTP/1.1 {status} as asked\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sent}"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}
