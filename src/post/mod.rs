//! Tells people what the vault found: notices go from the catalogue's queue to the log, a webhook and a mailbox, each on its
//! own, so that a dead one holds up no other. And it notices when the watch says nothing any more.
//!
//! Whoever finds something raises a notice in the transaction that writes the finding; nobody calls this room.

mod address;
mod courier;
mod email;
mod guard;
mod sink;
mod webhook;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use address::Address;
pub use email::{EmailConfig, Login, SmtpServer};
pub use sink::SettingError;
pub use webhook::{WebhookConfig, WebhookSecret};

use crate::catalog::Catalog;
use crate::model::Clock;

use courier::Courier;
use email::Email;
use guard::{Guard, Heartbeat};
use sink::Sink;
use webhook::Webhook;

/// Who is told, and how. The log always is.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Which vault speaks, in the words of whoever has several: its public address.
    pub origin: String,
    pub webhook: Option<WebhookConfig>,
    pub email: Option<EmailConfig>,
    /// Asked after each round of the watch here that could tell something.
    pub heartbeat: Option<Address>,
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    sinks: Vec<Sink>,
    heartbeat: Option<Heartbeat>,
}

impl Post {
    /// Checks what was configured; nothing is sent before [`Post::run`].
    pub fn new(config: &Config, catalog: Catalog, clock: Arc<dyn Clock>) -> Result<Self, SettingError> {
        let mut sinks = vec![Sink::Log];
        if let Some(webhook) = &config.webhook {
            sinks.push(Sink::Webhook(Webhook::new(webhook, &config.origin)?));
        }
        if let Some(email) = &config.email {
            sinks.push(Sink::Email(Email::new(email, &config.origin)?));
        }
        let heartbeat = config.heartbeat.as_ref().map(Heartbeat::new).transpose()?;
        Ok(Self {
            catalog,
            clock,
            sinks,
            heartbeat,
        })
    }

    /// Delivers and guards until `ending`. `watcher` is the name of the watch that runs in this process.
    pub async fn run(self, watcher: Option<String>, ending: CancellationToken) {
        let names: Arc<[&'static str]> = self.sinks.iter().map(Sink::name).collect();
        let couriers = self.sinks.into_iter().map(|sink| {
            let courier = Courier {
                catalog: self.catalog.clone(),
                clock: self.clock.clone(),
                sinks: names.clone(),
                sink,
            };
            courier.run(ending.clone())
        });
        let guard = Guard {
            catalog: self.catalog.clone(),
            clock: self.clock.clone(),
        };
        let beating = async {
            if let (Some(heartbeat), Some(watcher)) = (self.heartbeat, watcher) {
                heartbeat.run(&self.catalog, &watcher, ending.clone()).await;
            }
        };
        tokio::join!(
            futures_util::future::join_all(couriers),
            guard.run(ending.clone()),
            beating
        );
    }
}
