//! A notice as a plain mail over SMTP: TLS, or STARTTLS and nothing without it, or in the clear to this machine's own relay.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use zeroize::Zeroizing;

use super::address::is_this_machine;
use super::sink::{Failure, SettingError};
use crate::catalog::NoticeRow;
use crate::model::moment;

/// For connecting, and for each answer; the whole is bounded by the courier.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// People who are told; more is a mailing list, which has one address.
const MOST_RECIPIENTS: usize = 20;

/// Whom to tell, and by which server.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    pub server: SmtpServer,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// Name and password.
    pub login: Option<Login>,
    /// Whom to trust besides the machine's authorities.
    pub authority: Option<PathBuf>,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    tls: SmtpTls,
    host: String,
    port: u16,
}

/// How the way to it is kept secret; nothing is tried in the clear where it was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SmtpTls {
    Whole,
    StartTls,
    None,
}

/// What the server wants to know.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: Zeroizing<String>,
}

/// The sink.
#[derive(Clone)]
pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    origin: String,
}

impl SmtpServer {
    /// Reads `smtps://host`, `smtp+starttls://host` or `smtp+plain://127.0.0.1`, each with or without a port.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let (scheme, rest) = text.split_once("://").ok_or(SettingError::Smtp)?;
        let (tls, usual) = match scheme {
            "smtps" => (SmtpTls::Whole, 465),
            "smtp+starttls" => (SmtpTls::StartTls, 587),
            "smtp+plain" => (SmtpTls::None, 25),
            _ => return Err(SettingError::Smtp),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| SettingError::Smtp)?),
            _ => (rest, usual),
        };
        let host = host.trim_matches(['[', ']']);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(SettingError::Smtp);
        }
        if tls == SmtpTls::None && !is_this_machine(host) {
            return Err(SettingError::PlainSmtp { host: host.to_owned() });
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl EmailConfig {
    /// Reads mailboxes; `setting` is how the error calls them.
    pub fn mailboxes(setting: &'static str, texts: &[String]) -> Result<Vec<Mailbox>, SettingError> {
        let wrong = |text: &str| SettingError::Mailbox {
            setting,
            text: text.to_owned(),
        };
        if texts.is_empty() || texts.len() > MOST_RECIPIENTS {
            return Err(wrong(&format!("is given {} times, and", texts.len())));
        }
        let read = |text: &String| text.parse().map_err(|_| wrong(text));
        texts.iter().map(read).collect()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

impl Email {
    pub fn new(config: &EmailConfig, origin: &str) -> Result<Self, SettingError> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let SmtpServer { tls, host, port } = &config.server;
        let parameters = || -> Result<TlsParameters, SettingError> {
            let mut parameters = TlsParameters::builder(host.clone());
            if let Some(file) = &config.authority {
                let unreadable = || SettingError::Authority { file: file.clone() };
                let pem = std::fs::read(file).map_err(|_| unreadable())?;
                parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| unreadable())?);
            }
            let built = parameters.build_rustls();
            built.map_err(|error| SettingError::Client(error.into()))
        };
        let tls = match tls {
            SmtpTls::Whole => Tls::Wrapper(parameters()?),
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(*port)
            .tls(tls)
            .timeout(Some(ANSWER_LIMIT))
            // Not this machine's name, which is nobody's business.
            .hello_name(ClientId::default());
        if let Some(Login { user, password }) = &config.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self {
            transport: transport.build(),
            from: config.from.clone(),
            to: config.to.clone(),
            origin: origin.to_owned(),
        })
    }

    pub async fn deliver(&self, notice: &NoticeRow) -> Result<(), Failure> {
        let message = self.message(notice).map_err(|_| Failure::new("no-mail-of-it"))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_timeout() => Err(Failure::TIMEOUT),
            Err(error) => Err(match error.status() {
                Some(code) => Failure::new(format!("smtp-{code}")),
                None if error.is_tls() || is_of_tls(&error) => Failure::new("no-trust"),
                None => Failure::new("no-connection"),
            }),
        }
    }

    fn message(&self, notice: &NoticeRow) -> Result<Message, lettre::error::Error> {
        let to: Mailboxes = self.to.iter().cloned().collect();
        let text = format!(
            "{}\n\n{}\n\nRaised: {}\nVault: {}\nNotice: {} ({})\n",
            notice.subject,
            notice.facts,
            moment(notice.raised_at),
            self.origin,
            notice.id,
            notice.kind,
        );
        Message::builder()
            .from(self.from.clone())
            .mailbox(lettre::message::header::To::from(to))
            .subject(format!("[dashvault {}] {}", notice.severity.as_str(), notice.subject))
            // The same over every attempt: a mailbox that got it twice shows it once.
            .message_id(Some(format!("<{}@dashvault.invalid>", notice.id)))
            .date_now()
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
    }
}

/// A handshake that fails is told as a connection that failed, with its cause beneath.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match inside {
            Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    false
}

/// RFC 3834: no out-of-office answers.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NoticeId, Severity};

    #[test]
    fn a_server_is_given_with_how_it_is_reached_and_plain_only_here() {
        let read = |text: &str| SmtpServer::parse(text).map(|server| (server.tls, server.host, server.port));
        for (text, tls, host, port) in [
            ("smtps://mail.example.org", SmtpTls::Whole, "mail.example.org", 465),
            (
                "smtp+starttls://mail.example.org:2525/",
                SmtpTls::StartTls,
                "mail.example.org",
                2525,
            ),
            ("smtp+plain://127.0.0.1:25", SmtpTls::None, "127.0.0.1", 25),
            ("smtp+plain://[::1]:1025", SmtpTls::None, "::1", 1025),
            ("smtp+plain://localhost", SmtpTls::None, "localhost", 25),
        ] {
            assert_eq!(read(text).unwrap(), (tls, host.to_owned(), port), "{text}");
        }
        for wrong in [
            "mail.example.org",
            "smtp://mail.example.org",
            "smtps://",
            "smtps://a b",
            "smtps://a:port",
            "smtps://u:p@host",
        ] {
            assert!(matches!(SmtpServer::parse(wrong), Err(SettingError::Smtp)), "{wrong}");
        }
        let plain = SmtpServer::parse("smtp+plain://mail.example.org");
        assert!(matches!(plain, Err(SettingError::PlainSmtp { .. })));
    }

    #[tokio::test]
    async fn a_mail_is_plain_text_with_one_subject_whatever_a_notice_says() {
        let config = EmailConfig {
            server: SmtpServer::parse("smtp+plain://127.0.0.1:9").unwrap(),
            from: "vault@example.org".parse().unwrap(),
            to: EmailConfig::mailboxes(
                "--mail-to",
                &["Kim <kim@example.org>".to_owned(), "b@example.org".to_owned()],
            )
            .unwrap(),
            login: None,
            authority: None,
        };
        let email = Email::new(&config, "https://vault.example.org").unwrap();
        let notice = NoticeRow {
            id: NoticeId::random(),
            kind: "bucket-exposed".to_owned(),
            severity: Severity::Page,
            subject: "open\r\nBcc: thief@example.org".to_owned(),
            facts: "line\n.\nline — ünïcode".to_owned(),
            repeats: 0,
            raised_at: 0,
            settled_at: None,
        };
        let mail = String::from_utf8(email.message(&notice).unwrap().formatted()).unwrap();
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        for line in [
            "Auto-Submitted: auto-generated",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert!(head.contains(line), "{head}");
        }
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(
            head.contains(&format!("Message-ID: <{}@dashvault.invalid>", notice.id)),
            "{head}"
        );
    }
}
