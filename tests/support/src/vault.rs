//! The real programs: `dashvault serve` in a folder of its own, and its commands.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use crate::child::Child;
use crate::http;
use crate::scratch::{Scratch, free_port};
use crate::seaweed::Seaweed;
use crate::tools;

/// Start-up recovers what a crash left behind; this many seconds is far too long for it.
const START: Duration = Duration::from_secs(60);
/// Transcoding a clip of ten seconds on two busy cores.
const CLIP: Duration = Duration::from_secs(300);

/// How a vault is to be started.
#[derive(Default)]
pub struct Setup {
    data: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    readable_memory: bool,
}

/// A vault in a folder of its own. Dropping it kills the service and removes the folder.
pub struct Vault {
    setup: Setup,
    port: u16,
    admin_port: u16,
    data: PathBuf,
    child: Option<Child>,
    // Last, so that the service is gone before its folder.
    scratch: Scratch,
}

/// What `dashvault owner add` tells.
pub struct Owner {
    /// The owner's id.
    pub id: String,
    /// A bearer token of the owner's.
    pub token: String,
    /// The one-time sign-in link.
    pub sign_in_url: String,
}

impl Setup {
    /// Adds arguments of `dashvault serve`.
    #[must_use]
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// Sets a variable for the service and for every command.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Keeps clips in a bucket of a store, and the rest in new ones.
    #[must_use]
    pub fn on_s3(self, seaweed: &Seaweed, data: &str) -> Self {
        self.env("DASHVAULT_S3_ENDPOINT", seaweed.endpoint())
            .env("DASHVAULT_S3_REGION", seaweed.region())
            .env("DASHVAULT_S3_BUCKET", data)
            .env("DASHVAULT_S3_STAGING_BUCKET", seaweed.bucket())
            .env("DASHVAULT_S3_KEYPLANE_BUCKET", seaweed.bucket())
            .env("DASHVAULT_S3_ACCESS_KEY_ID", seaweed.access_key())
            .env("DASHVAULT_S3_SECRET_ACCESS_KEY", seaweed.secret_key())
    }

    /// What a variable was set to.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let set = self.environment.iter().rfind(|(set, _)| set == name);
        set.map(|(_, value)| value.as_str())
    }

    /// Uses a folder that is there already, and leaves it there.
    #[must_use]
    pub fn data(mut self, dir: &Path) -> Self {
        self.data = Some(dir.to_owned());
        self
    }

    /// Lets this user read the service's memory ([`crate::memory`]), which it hides from all but root: unless the test is
    /// root's, the service runs in a user namespace of its user's, whose maker has every right over it.
    #[must_use]
    pub fn readable_memory(mut self) -> Self {
        self.readable_memory = true;
        self
    }

    /// Starts the service and waits until it is ready.
    pub fn start(self) -> Vault {
        let mut vault = self.prepare();
        vault.start();
        vault
    }

    /// Makes the folder and chooses the ports, and starts nothing.
    pub fn prepare(self) -> Vault {
        let scratch = Scratch::new("vault");
        let data = self.data.clone().unwrap_or_else(|| scratch.path().join("data"));
        std::fs::create_dir_all(&data).expect("a folder for the data");
        std::fs::create_dir_all(scratch.path().join("tmp")).expect("a folder for temporary files");
        Vault {
            setup: self,
            port: free_port(),
            admin_port: free_port(),
            data,
            child: None,
            scratch,
        }
    }
}

impl Vault {
    /// The embedded defaults: SQLite, a folder of objects, a keyring file.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Starts the service, again after [`Vault::kill`] or [`Vault::stop`], on the same ports and folder.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the service runs already");
        let mut command = self.command(["serve"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)]);
        command.arg("--data").arg(&self.data).args(&self.setup.arguments);
        if self.setup.readable_memory && !rustix::process::geteuid().is_root() {
            command = in_user_namespace(&command);
        }
        let mut child = Child::spawn("dashvault serve", &command, None, &self.log_path());
        let port = self.port;
        child.wait_until("ready", START, || status_of(port, "/readyz") == Some(200));
        self.child = Some(child);
    }

    /// Ends the service as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        // Dropping a child kills it and waits.
        self.child = None;
    }

    /// Asks the service to end (SIGTERM) and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.child.take().expect("a running service").end_with(Signal::TERM)
    }

    /// The service's process.
    pub fn process(&mut self) -> &mut Child {
        self.child.as_mut().expect("a running service")
    }

    /// The resident memory of the service's process now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most it ever was since the process started.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// `http://127.0.0.1:port` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The same on the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin_port)
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A folder for the test's own files, gone with the vault; `tmp` in it is the service's TMPDIR.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// All that the service printed, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// A command of the program, with the vault's environment; `--data` is the caller's to give.
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(tools::program("dashvault"));
        command
            .args(arguments)
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        command.env("TMPDIR", self.scratch.path().join("tmp"));
        command.env("NO_PROXY", "127.0.0.1,localhost");
        // How full the disk under the tests is is not what they are about.
        for mark in ["DASHVAULT_DISK_ROUTINE_PERCENT", "DASHVAULT_DISK_EVENTS_PERCENT"] {
            command.env(mark, "100");
        }
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command that must succeed and returns its output.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        let mut command = self.command(arguments);
        let out = command.output().expect("the program");
        assert!(
            out.status.success(),
            "{:?}: {}\n{}{}",
            command.get_args().collect::<Vec<_>>(),
            out.status,
            String::from_utf8_lossy(&out.stderr),
            String::from_utf8_lossy(&out.stdout)
        );
        out
    }

    /// Runs a command that must succeed and returns the JSON lines it printed.
    pub fn run_json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        let out = String::from_utf8(self.run(arguments).stdout).expect("UTF-8");
        let lines = out.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// Adds an owner.
    pub fn owner(&self, email: &str) -> Owner {
        let data = self.data_argument();
        let told = self
            .run_json(["owner", "add", "--email", email, "--data", &data, "--json"])
            .pop();
        let told = told.expect("a line about the owner");
        let text = |name: &str| {
            told[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name} in {told}"))
                .to_owned()
        };
        Owner {
            id: text("owner_id"),
            token: text("token"),
            sign_in_url: text("sign_in_url"),
        }
    }

    /// Pairs a vehicle of the owner's and returns its device file.
    pub async fn pair(&self, owner: &Owner, label: &str) -> PathBuf {
        self.pair_with(owner, &serde_json::json!({ "label": label })).await.0
    }

    /// Pairs a vehicle of which the owner says more (`label`, `vin`, `plate`); its device file, and the code it was paired by.
    pub async fn pair_with(&self, owner: &Owner, about: &Value) -> (PathBuf, String) {
        let (status, made) = self
            .json(
                Method::POST,
                "/v1/devices/pairing-codes",
                Some(&owner.token),
                Some(about),
            )
            .await;
        assert_eq!(status, 201, "pairing code: {made}");
        let code = made["code"].as_str().expect("a code").to_owned();
        let file = self
            .scratch
            .path()
            .join(format!("{}.device.json", code.replace(['/', ' '], "-")));
        let out = file.to_str().expect("UTF-8");
        self.run([
            "device",
            "pair",
            "--server",
            &self.url(""),
            "--code",
            &code,
            "--out",
            out,
        ]);
        (file, code)
    }

    /// Uploads a file as the vehicle, waits for the receipt, and returns what the client tells of it.
    pub fn upload(&self, device: &Path, file: &Path) -> Value {
        let (device, file) = (device.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
        let server = self.url("");
        let lines = self.run_json([
            "upload", "--server", &server, "--device", device, "--wait", "--json", file,
        ]);
        lines.into_iter().last().expect("a line about the file")
    }

    /// One request to the API; see [`http::json`].
    pub async fn json(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
        http::json(method, &self.url(path), token, body).await
    }

    /// Waits until a clip is ready or failed, and returns it.
    pub async fn settled(&self, owner: &Owner, clip: &str) -> Value {
        let started = Instant::now();
        loop {
            let (status, told) = self.clip(owner, clip).await;
            assert_eq!(status, 200, "{told}");
            if is_settled(&told) {
                return told;
            }
            assert!(started.elapsed() < CLIP, "not ready after {CLIP:?}: {told}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The same for a service that cannot tell for a while: a 503 is asked again.
    pub async fn settled_within(&self, owner: &Owner, clip: &str, limit: Duration) -> Value {
        let started = Instant::now();
        loop {
            let (status, told) = self.clip(owner, clip).await;
            assert!(matches!(status, 200 | 503), "{told}");
            if status == 200 && is_settled(&told) {
                return told;
            }
            assert!(started.elapsed() < limit, "not ready after {limit:?}: {told}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn clip(&self, owner: &Owner, clip: &str) -> (u16, Value) {
        self.json(Method::GET, &format!("/v1/clips/{clip}"), Some(&owner.token), None)
            .await
    }

    fn memory_bytes(&self, field: &str) -> u64 {
        let id = self.child.as_ref().expect("a running service").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the state of a process");
        let line = status
            .lines()
            .find(|l| l.starts_with(field))
            .expect("its resident size");
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number");
        kib * 1024
    }

    fn data_argument(&self) -> String {
        self.data.to_str().expect("UTF-8").to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("serve.log")
    }
}

/// The same process, in a user namespace of its own.
fn in_user_namespace(command: &Command) -> Command {
    let mut held = Command::new("unshare");
    held.args(["--user", "--map-root-user", "--"]);
    held.arg(command.get_program()).args(command.get_args());
    held.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        held.current_dir(dir);
    }
    held
}

fn is_settled(clip: &Value) -> bool {
    matches!(clip["state"].as_str(), Some("ready" | "failed"))
}

/// The status of one GET, without a runtime; `None` when nobody answers.
fn status_of(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}
