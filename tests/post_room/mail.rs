//! Mail to a real server, in the clear to this machine and otherwise by STARTTLS, or not at all.

use std::sync::Arc;

use dashvault::model::SystemClock;
use dashvault::post::{Config, EmailConfig, Login, SmtpServer};
use dashvault_test_support::{Mail, Scratch};

use crate::{SOON, catalog, raise, run, until};

pub fn plain(mail: &Mail) -> EmailConfig {
    config(&format!("smtp+plain://127.0.0.1:{}", mail.port()))
}

fn config(server: &str) -> EmailConfig {
    let to = ["Kim <kim@example.org>", "sam@example.org"].map(str::to_owned);
    EmailConfig {
        server: SmtpServer::parse(server).unwrap(),
        from: "vault@example.org".parse().unwrap(),
        to: EmailConfig::mailboxes("--mail-to", &to).unwrap(),
        login: None,
        authority: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_starttls_gets_mail_from_whom_it_knows_and_a_strange_certificate_gets_none() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let strange = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mail = Mail::start_secret(&own.cert.pem(), &own.signing_key.serialize_pem());
    let file = |name: &str, pem: String| {
        let file = mail.scratch().join(name);
        std::fs::write(&file, pem).unwrap();
        Some(file)
    };
    let trusting = |authority| Config {
        email: Some(EmailConfig {
            login: Some(Login {
                user: mail.user().to_owned(),
                password: mail.password().to_owned().into(),
            }),
            authority,
            ..config(&format!("smtp+starttls://localhost:{}", mail.port()))
        }),
        ..Config::default()
    };
    let scratch = Scratch::new("post");
    let catalog = catalog(&scratch).await;
    raise(&catalog, "for whom it knows").await;
    {
        let _wrong = run(
            &trusting(file("strange.pem", strange.cert.pem())),
            &catalog,
            Arc::new(SystemClock),
            None,
        );
        until("a failure", async || {
            catalog.notice_numbers().await.unwrap().failing == 1
        })
        .await;
    }
    let newest = &catalog.newest_notices(1).await.unwrap()[0];
    let deliveries = catalog.deliveries_of(newest.id).await.unwrap();
    assert_eq!(deliveries[0].failure.as_deref(), Some("no-trust"), "{deliveries:?}");
    assert!(mail.kept().is_empty());
    let _right = run(
        &trusting(file("own.pem", own.cert.pem())),
        &catalog,
        Arc::new(SystemClock),
        None,
    );
    let kept = mail.wait_for(1, SOON);
    assert_eq!(
        (&kept[0]["tls"], &kept[0]["user"]),
        (&true.into(), &true.into()),
        "{kept:?}"
    );
}
