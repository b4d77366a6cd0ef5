//! Listens, on the public and on the operator's address, until it is told to end.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::{AppConfig, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::around::around;
use super::client_address::Cidr;
use super::face::{Attestations, Face, Readiness, Readings, Rooms};
use super::limits::Limits;
use super::metrics::Metrics;
use super::public_url::PublicUrl;
use super::routes::{self, VehiclePolicy};
use super::tls::TlsFiles;
use super::window::{Windowed, Windows};

/// The head of a request is small; over a bad cellular link it still takes a while.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// After a refusal a client may still be sending: what it sends is read away for so long, so that it can read the answer.
const DISCONNECT_TIME: Duration = Duration::from_secs(8);
/// An idle connection is kept: a vehicle's next request then needs no handshake.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Connections one thread serves at once; two threads hold what one node's memory for uploads is made for.
const CONNECTIONS_A_THREAD: usize = 8192;
/// Connections that wait to be taken. The standard library asks for 128: of thousands of vehicles that come back at once the
/// kernel then turns hundreds away with a reset.
const BACKLOG: i32 = 4096;
/// How long answers under way may take when the service ends.
const SHUTDOWN_SECS: u64 = 5;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct Config {
    /// The public address.
    pub listen: SocketAddr,
    /// The operator's address: numbers and health.
    pub admin_listen: Option<SocketAddr>,
    /// Where the vault is reached from outside; on loopback the listener's own address will do.
    pub public_url: Option<PublicUrl>,
    /// TLS of the service's own.
    pub tls: Option<TlsFiles>,
    /// Proxies that end TLS and say for whom they ask.
    pub proxies: Vec<Cidr>,
}

/// Why the service does not listen. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Passwords and clips would travel in the clear.
    #[error(
        "{0} is reachable from other machines and would be without TLS: give --tls-cert and --tls-key, or name the proxy \
         that ends TLS with --behind-proxy CIDR, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// Links could not be written.
    #[error("listening on {0} needs --public-url, for example https://vault.example.org: links are made of it")]
    NoPublicUrl(SocketAddr),
    /// TLS or a proxy, and a URL that has none.
    #[error("{0} is no address behind TLS: give a --public-url that begins with https://")]
    PublicUrlWithoutTls(String),
    /// The numbers are the operator's.
    #[error("the admin listener {0} is reachable from other machines: let it listen on 127.0.0.1")]
    AdminExposed(SocketAddr),
    /// Somebody else listens there.
    #[error("cannot listen on {address}: choose another with {flag}, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("{} is no certificate or key that can be used: PEM files are expected, the key that of the certificate", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server ended by itself.
    #[error("the server ended")]
    Ended(#[source] std::io::Error),
}

/// Bound, and not yet answering.
pub struct Server {
    config: Config,
    public_url: PublicUrl,
    listener: TcpListener,
    admin: Option<TcpListener>,
    tls: Option<rustls::ServerConfig>,
    readings: Option<Readings>,
    attestations: Option<Attestations>,
    vehicle_policy: VehiclePolicy,
}

impl Server {
    /// Checks the configuration and takes the addresses, so that what is wrong is said before anything else happens.
    pub fn bind(config: Config) -> Result<Self, HttpError> {
        let loopback = config.listen.ip().is_loopback();
        if !loopback && config.tls.is_none() && config.proxies.is_empty() {
            return Err(HttpError::Exposed(config.listen));
        }
        if !loopback && config.public_url.is_none() {
            return Err(HttpError::NoPublicUrl(config.listen));
        }
        if let Some(url) = &config.public_url
            && !url.is_secure()
            && (config.tls.is_some() || !config.proxies.is_empty())
        {
            return Err(HttpError::PublicUrlWithoutTls(url.as_str().to_owned()));
        }
        if let Some(admin) = config.admin_listen
            && !admin.ip().is_loopback()
        {
            return Err(HttpError::AdminExposed(admin));
        }
        let tls = config.tls.as_ref().map(TlsFiles::load).transpose()?;
        let listener = listen(config.listen, "--listen")?;
        let admin = config
            .admin_listen
            .map(|address| listen(address, "--admin-listen"))
            .transpose()?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let public_url = config
            .public_url
            .clone()
            .unwrap_or_else(|| PublicUrl::of_listener(address, tls.is_some()));
        Ok(Self {
            config,
            public_url,
            listener,
            admin,
            tls,
            readings: None,
            attestations: None,
            vehicle_policy: VehiclePolicy::default(),
        })
    }

    /// Tells these numbers too in `/metrics`.
    #[must_use]
    pub fn with_readings(mut self, readings: Readings) -> Self {
        self.readings = Some(readings);
        self
    }

    /// Gives signed statements about the buckets away on the operator's address.
    #[must_use]
    pub fn with_attestations(mut self, attestations: Attestations) -> Self {
        self.attestations = Some(attestations);
        self
    }

    /// Tells vehicles this instead of the default.
    #[must_use]
    pub fn with_vehicle_policy(mut self, policy: VehiclePolicy) -> Self {
        self.vehicle_policy = policy;
        self
    }

    /// Where the vault is reached.
    pub fn public_url(&self) -> &PublicUrl {
        &self.public_url
    }

    /// Answers until `ending` is cancelled: then takes no more connections, ends bodies, and waits a little for the rest.
    /// The rooms' work runs on the runtime this is called on.
    pub async fn run(self, rooms: Rooms, readiness: Readiness, ending: CancellationToken) -> Result<(), HttpError> {
        let face = Data::new(Face {
            rooms,
            public_url: self.public_url.clone(),
            limits: Limits::new(),
            metrics: Metrics::new(),
            readings: self.readings.clone(),
            proxies: self.config.proxies.clone(),
            readiness,
            attestations: self.attestations.clone(),
            vehicle_policy: self.vehicle_policy.clone(),
            ending: ending.clone(),
            runtime: Handle::current(),
        });
        let admin = match self.admin {
            None => None,
            Some(listener) => {
                let face = face.clone();
                let server = HttpServer::new(move || App::new().app_data(face.clone()).configure(routes::admin))
                    .workers(1)
                    .disable_signals()
                    .shutdown_timeout(SHUTDOWN_SECS)
                    .listen(listener)
                    .map_err(HttpError::Ended)?;
                Some(server.run())
            }
        };
        let server = public(self.listener, self.tls, face, ending.clone()).map_err(HttpError::Ended)?;
        info!(url = self.public_url.as_str(), "the vault is listening");
        let mut handles = vec![server.handle()];
        handles.extend(admin.as_ref().map(|admin| admin.handle()));
        tokio::spawn(end(handles, ending));
        let admin = async move {
            match admin {
                Some(admin) => admin.await,
                None => Ok(()),
            }
        };
        tokio::try_join!(server, admin).map(|_| ()).map_err(HttpError::Ended)
    }
}

/// The public face over a listener. actix-web's own server takes no other stream than a socket's; what it does beside that
/// are these few lines.
fn public(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    face: Data<Face>,
    ending: CancellationToken,
) -> std::io::Result<actix_server::Server> {
    let windows = Arc::new(Windows::default());
    let server = actix_server::Server::build()
        .workers(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)))
        .max_concurrent_connections(CONNECTIONS_A_THREAD)
        .shutdown_timeout(SHUTDOWN_SECS)
        .disable_signals();
    let server = match tls {
        Some(mut tls) => {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            server.listen("public", listener, move || {
                let windows = Arc::clone(&windows);
                let accepted = Acceptor::new(tls.clone()).map_err(TlsError::into_service_error).map(
                    move |io: TlsStream<TcpStream>| {
                        let peer = io.get_ref().0.peer_addr().ok();
                        (Windowed::new(io, &windows), Protocol::Http1, peer)
                    },
                );
                accepted.and_then(service(face.clone(), ending.clone()).map_err(TlsError::Service))
            })
        }
        None => server.listen("public", listener, move || {
            let windows = Arc::clone(&windows);
            let accepted = fn_service(move |io: TcpStream| {
                let peer = io.peer_addr().ok();
                std::future::ready(Ok((Windowed::new(io, &windows), Protocol::Http1, peer)))
            });
            accepted.and_then(service(face.clone(), ending.clone()))
        }),
    };
    Ok(server?.run())
}

/// Routes and limits over any stream.
fn service<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    face: Data<Face>,
    ending: CancellationToken,
) -> impl ServiceFactory<
    (Windowed<T>, Protocol, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> {
    let app = App::new()
        .app_data(face)
        .wrap(from_fn(around))
        .configure(routes::configure)
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    HttpService::build()
        .graceful_shutdown_signal(move || ending.clone().cancelled_owned())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(DISCONNECT_TIME)
        .on_connect_ext(|io: &Windowed<T>, data| {
            data.insert(io.window());
        })
        .finish(map_config(app, |()| AppConfig::default()))
}

async fn end(handles: Vec<ServerHandle>, ending: CancellationToken) {
    ending.cancelled().await;
    futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
}

fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, HttpError> {
    let failed = |source| HttpError::Listen { address, flag, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|e| failed(e.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str) -> Config {
        Config {
            listen: listen.parse().unwrap(),
            admin_listen: None,
            public_url: None,
            tls: None,
            proxies: Vec::new(),
        }
    }

    #[test]
    fn many_connections_wait_where_nobody_takes_them_yet() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let address = listener.local_addr().unwrap();
        let waiting: Vec<_> = (0..600)
            .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap())
            .collect();
        assert_eq!(waiting.len(), 600);
    }

    #[test]
    fn beyond_loopback_there_is_tls_or_a_named_proxy() {
        assert!(matches!(Server::bind(config("0.0.0.0:0")), Err(HttpError::Exposed(_))));
        assert!(matches!(Server::bind(config("[::]:0")), Err(HttpError::Exposed(_))));
        let proxied = Config {
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..config("0.0.0.0:0")
        };
        assert!(matches!(Server::bind(proxied.clone()), Err(HttpError::NoPublicUrl(_))));
        let public_url = Some(PublicUrl::parse("https://vault.example.org").unwrap());
        assert!(
            Server::bind(Config {
                public_url,
                ..proxied.clone()
            })
            .is_ok()
        );
        let plain = Some(PublicUrl::parse("http://127.0.0.1").unwrap());
        assert!(matches!(
            Server::bind(Config {
                public_url: plain,
                ..proxied
            }),
            Err(HttpError::PublicUrlWithoutTls(_))
        ));
    }

    #[test]
    fn the_operators_address_is_no_public_one() {
        let admin_listen = Some("0.0.0.0:0".parse().unwrap());
        let refused = Server::bind(Config {
            admin_listen,
            ..config("127.0.0.1:0")
        });
        assert!(matches!(refused, Err(HttpError::AdminExposed(_))));
    }

    #[test]
    fn loopback_is_its_own_public_url() {
        let server = Server::bind(config("127.0.0.1:0")).ok().unwrap();
        let url = server.public_url().as_str();
        assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    }

    #[test]
    fn a_port_in_use_says_which_flag_chooses_another() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let refused = Server::bind(Config {
            listen,
            ..config("127.0.0.1:0")
        })
        .err()
        .unwrap();
        assert!(refused.to_string().contains("--listen"), "{refused}");
    }
}
