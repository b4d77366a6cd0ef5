//! The sources of AWS's credentials, in the order in which AWS's own programs look for them, and what each of them answers.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use ureq::Agent;
use zeroize::Zeroizing;

use super::credentials::{Absent, Authorization, CredentialSource, Credentials};
use super::error::{KmsError, Said, plain};
use super::http;

/// Of a file with a token or with profiles.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// A session of the metadata service; its renewal comes with each renewal of credentials.
const SESSION_SECS: &str = "21600";
/// What lies in a shared file may be renewed by somebody; nothing there says when.
const SHARED_FILE: SignedDuration = SignedDuration::from_mins(10);
/// Of a role's session at STS.
const ROLE_SECS: u32 = 3600;
const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
/// Where plain HTTP may be asked for credentials: this machine, and the addresses that container services give their agents.
const PLAIN_HOSTS: [&str; 6] = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
];

impl CredentialSource {
    /// The source that the variables name; the metadata service of the machine when they name none.
    ///
    /// # Errors
    /// [`KmsError::Setting`] for half a source, or one that must not be asked.
    pub fn find(region: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, KmsError> {
        match (variables("AWS_ACCESS_KEY_ID"), variables("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let token = variables("AWS_SESSION_TOKEN");
                return Ok(Self::Given(Arc::new(Credentials::new(id, secret, token))));
            }
            (None, None) => {}
            _ => {
                return Err(KmsError::Setting(
                    "give both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither",
                ));
            }
        }
        if let Some(file) = variables("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let role = variables("AWS_ROLE_ARN");
            let role = role.ok_or(KmsError::Setting(
                "AWS_WEB_IDENTITY_TOKEN_FILE needs AWS_ROLE_ARN beside it",
            ))?;
            let endpoint = variables("AWS_ENDPOINT_URL_STS");
            let endpoint = endpoint.unwrap_or_else(|| format!("https://sts.{region}.{}", super::domain(region)));
            super::require_private(&endpoint)?;
            return Ok(Self::WebIdentity {
                token_file: file.into(),
                role,
                session: variables("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "dashvault".to_owned()),
                endpoint,
            });
        }
        let named = variables("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let usual = variables("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        if let Some(path) = named.or_else(|| usual.filter(|path| path.exists())) {
            let profile = variables("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
            return Ok(Self::SharedFile { path, profile });
        }
        let whole = variables("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let url = variables("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
        if let Some(url) = url.or(whole) {
            if !url.starts_with("https://") && !PLAIN_HOSTS.contains(&host_of(&url)) {
                return Err(KmsError::Setting(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI is https, or http to this machine or its container service",
                ));
            }
            let file = variables("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Authorization::File(path.into()));
            let text = variables("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let text = text.map(|text| Authorization::Given(Arc::new(Zeroizing::new(text))));
            return Ok(Self::Container {
                url,
                authorization: file.or(text).unwrap_or(Authorization::None),
            });
        }
        if variables("AWS_EC2_METADATA_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true")) {
            return Err(KmsError::Setting(
                "there are no credentials of AWS: give the service a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        let endpoint = variables("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| INSTANCE.to_owned());
        Ok(Self::Instance {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
        })
    }
}

/// The host of an address, without port and path.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Whatever stands before an @ is no host.
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|inside| inside.find(']')) {
        Some(end) => &authority[..end + 2],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

pub(super) fn fetch(source: &CredentialSource, agent: &Agent, now: Timestamp) -> Result<Credentials, Absent> {
    match source {
        CredentialSource::Given(given) => Ok(Credentials {
            id: given.id.clone(),
            secret: given.secret.clone(),
            token: given.token.clone(),
            ends: given.ends,
        }),
        CredentialSource::SharedFile { path, profile } => {
            let text = read(path)?;
            let mut found = profile_of(&text, profile).ok_or_else(|| {
                Absent::Refused("no aws_access_key_id and aws_secret_access_key stand there".to_owned())
            })?;
            found.ends = now.checked_add(SHARED_FILE).ok();
            Ok(found)
        }
        CredentialSource::WebIdentity {
            token_file,
            role,
            session,
            endpoint,
        } => {
            let token = read(token_file)?;
            let form = Zeroizing::new(format!(
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&DurationSeconds={ROLE_SECS}&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
                encoded(role),
                encoded(session),
                encoded(token.trim())
            ));
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let body = ask(agent, "POST", endpoint, &headers, form.as_bytes())?;
            role_of(&body)
        }
        CredentialSource::Container { url, authorization } => {
            let token = match authorization {
                Authorization::None => None,
                Authorization::Given(text) => Some(Zeroizing::new(text.trim().to_owned())),
                Authorization::File(path) => Some(Zeroizing::new(read(path)?.trim().to_owned())),
            };
            let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
            document(&ask(agent, "GET", url, &headers, &[])?)
        }
        CredentialSource::Instance { endpoint } => {
            let life = [("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECS)];
            let session = text_of(ask(agent, "PUT", &format!("{endpoint}/latest/api/token"), &life, &[])?)?;
            let session = [("x-aws-ec2-metadata-token", session.trim())];
            let roles = format!("{endpoint}/latest/meta-data/iam/security-credentials/");
            let names = text_of(ask(agent, "GET", &roles, &session, &[])?)?;
            let role = names.lines().next().unwrap_or_default().trim();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
            if role.is_empty() || !role.chars().all(is_name) {
                return Err(Absent::Refused("this machine has no role".to_owned()));
            }
            document(&ask(agent, "GET", &format!("{roles}{role}"), &session, &[])?)
        }
    }
}

fn ask(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Absent> {
    let answer = http::send(agent, method, url, headers, body).map_err(|lost| Absent::Away(lost.reason))?;
    match answer.status {
        200..=299 => Ok(answer.body),
        429 | 500.. => Err(Absent::Away(format!("HTTP {}", answer.status))),
        // An error may name the role; nothing in it is secret.
        status => Err(Absent::Refused(refusal(status, &answer.body))),
    }
}

fn refusal(status: u16, body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap_or_default();
    match element(text, "Message") {
        Some(message) => plain(&format!("HTTP {status}: {message}")),
        None => Said::read(status, body).text,
    }
}

fn text_of(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Absent> {
    let text = std::str::from_utf8(&bytes).map_err(|_| odd())?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn odd() -> Absent {
    Absent::Refused("what it answers holds no credentials".to_owned())
}

/// What containers' and machines' endpoints answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

fn document(body: &[u8]) -> Result<Credentials, Absent> {
    let told: Document = serde_json::from_slice(body).map_err(|_| odd())?;
    let ends = told.expiration.as_deref().map(str::parse).transpose();
    Ok(Credentials {
        ends: ends.map_err(|_| odd())?,
        ..Credentials::new(told.access_key_id, told.secret_access_key, told.token)
    })
}

/// STS answers XML; what stands in these elements needs no decoding.
fn role_of(body: &[u8]) -> Result<Credentials, Absent> {
    let text = std::str::from_utf8(body).map_err(|_| odd())?;
    let part = |name| element(text, name).map(str::to_owned).ok_or_else(odd);
    let ends = part("Expiration")?.parse().map_err(|_| odd())?;
    Ok(Credentials {
        ends: Some(ends),
        ..Credentials::new(
            part("AccessKeyId")?,
            part("SecretAccessKey")?,
            Some(part("SessionToken")?),
        )
    })
}

fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

fn profile_of(text: &str, profile: &str) -> Option<Credentials> {
    let header = |line: &str| Some(line.strip_prefix('[')?.strip_suffix(']')?.trim().to_owned());
    let mut inside = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = header(line) {
            inside = section == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials::new(id?, secret?, token))
}

fn read(path: &Path) -> Result<Zeroizing<String>, Absent> {
    let refused = |error: std::io::Error| Absent::Refused(format!("{} cannot be read: {error}", path.display()));
    let file = fs::File::open(path).map_err(refused)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(refused)?;
    Ok(text)
}

/// As in a form.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(given: &[(&str, &str)]) -> Result<CredentialSource, KmsError> {
        let find = |name: &str| {
            given
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        CredentialSource::find("eu-north-1", &find)
    }

    #[test]
    fn the_variables_say_where_credentials_are() {
        let key = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        assert!(matches!(find(&key), Ok(CredentialSource::Given(_))));
        assert!(matches!(find(&key[..1]), Err(KmsError::Setting(_))));
        assert!(matches!(find(&key[1..]), Err(KmsError::Setting(_))));
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn:role")];
        let Ok(CredentialSource::WebIdentity { endpoint, .. }) = find(&identity) else {
            panic!("a web identity")
        };
        assert_eq!(endpoint, "https://sts.eu-north-1.amazonaws.com");
        assert!(matches!(find(&identity[..1]), Err(KmsError::Setting(_))));
        let container = |url| find(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        for fits in [
            "https://example.org/c",
            "http://127.0.0.1:80/c",
            "http://169.254.170.23/v1",
            "http://[::1]:9/c",
        ] {
            assert!(
                matches!(container(fits), Ok(CredentialSource::Container { .. })),
                "{fits}"
            );
        }
        for stranger in [
            "http://example.org/c",
            "http://127.0.0.1@example.org/",
            "http://localhost.example.org/",
        ] {
            assert!(matches!(container(stranger), Err(KmsError::Setting(_))), "{stranger}");
        }
        assert!(matches!(find(&[]), Ok(CredentialSource::Instance { endpoint }) if endpoint == INSTANCE));
        assert!(matches!(
            find(&[("AWS_EC2_METADATA_DISABLED", "true")]),
            Err(KmsError::Setting(_))
        ));
    }

    #[test]
    fn a_profile_is_read_from_its_own_section() {
        let text = "[default]\naws_access_key_id = one\naws_secret_access_key = first\n\n[ other ]\n# no\n\
                    aws_access_key_id=two\naws_secret_access_key=se=cond\naws_session_token = t\n[half]\naws_access_key_id=x\n";
        let other = profile_of(text, "other").expect("it is there");
        assert_eq!((other.id.as_str(), other.secret.as_str()), ("two", "se=cond"));
        assert_eq!(other.token.as_deref().map(String::as_str), Some("t"));
        assert_eq!(profile_of(text, "default").expect("it is there").id, "one");
        assert!(profile_of(text, "half").is_none());
        assert!(profile_of(text, "none").is_none());
    }
}
