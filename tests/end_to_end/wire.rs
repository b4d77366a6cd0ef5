//! A link between a vehicle and its vault, over loopback, that can be slowed, and that counts every byte that goes up.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is taken at a time: as on a link, little lies between.
const CHUNK_BYTES: usize = 16 << 10;

/// A link to one vault. Its threads end with the connections, the listening one with the test program.
pub struct Wire {
    pub url: String,
    state: Arc<State>,
}

struct State {
    to: String,
    up: AtomicU64,
    /// Bytes a second of each connection; 0 is as fast as can be.
    pace: AtomicU64,
}

impl Wire {
    /// `to` is `http://host:port`.
    pub fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        // The kernel would buffer megabytes, which no cellular link does.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 2 * CHUNK_BYTES).expect("a small buffer");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State {
            to: to.trim_start_matches("http://").to_owned(),
            up: AtomicU64::new(0),
            pace: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || state.join(stream));
            }
        });
        Self { url, state }
    }

    /// Bytes that went up so far, headers and all.
    pub fn up(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
    }

    /// Sets the pace of each connection, in bytes a second.
    pub fn slow_to(&self, pace: u64) {
        self.state.pace.store(pace, Ordering::SeqCst);
    }
}

impl State {
    fn join(&self, vehicle: TcpStream) -> Option<()> {
        let vault = TcpStream::connect(&self.to).ok()?;
        let (mut from_vault, mut to_vehicle) = (vault.try_clone().ok()?, vehicle.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_vault, &mut to_vehicle);
            let _ = to_vehicle.shutdown(Shutdown::Write);
        });
        self.lift(vehicle, vault);
        Some(())
    }

    fn lift(&self, mut vehicle: TcpStream, mut vault: TcpStream) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(read) = vehicle.read(&mut chunk) {
            if read == 0 || vault.write_all(&chunk[..read]).is_err() {
                break;
            }
            self.up.fetch_add(read as u64, Ordering::SeqCst);
            let pace = self.pace.load(Ordering::SeqCst);
            if let Some(micros) = (read as u64 * 1_000_000).checked_div(pace) {
                std::thread::sleep(Duration::from_micros(micros));
            }
        }
        let _ = vault.shutdown(Shutdown::Write);
    }
}
