//! A private S3 server: SeaweedFS, a real distributed store, all its parts in one process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::child::Child;
use crate::scratch::{Scratch, free_port};
use crate::tools;

/// It answers within a second on an idle machine.
const START: Duration = Duration::from_secs(60);
const ACCESS_KEY: &str = "tests-access-key";
/// Only ever this server's, which listens on loopback for as long as a test runs.
const SECRET_KEY: &str = "private-to-this-test";
/// An account that may do nothing here.
const OTHER_ACCESS_KEY: &str = "another-access-key";
const OTHER_SECRET_KEY: &str = "private-to-this-test-too";
const REGION: &str = "us-east-1";

/// The ports its parts listen on; stopping and resuming keeps them.
struct Ports {
    s3: u16,
    rest: [u16; 9],
}

/// A server with folders of its own.
pub struct Seaweed {
    ports: Ports,
    made: AtomicU32,
    child: Child,
    // Last, so that the server is gone before its folder.
    scratch: Scratch,
}

impl Seaweed {
    /// The server that all tests of one test program share; each takes buckets of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Seaweed> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of one's own, to stop, freeze and start again.
    pub fn start() -> Self {
        let scratch = Scratch::new("seaweed");
        let identities = format!(
            r#"{{"identities":[{{"name":"vault","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],
                "actions":["Admin","Read","Write","List","Tagging"]}},
                {{"name":"other","credentials":[{{"accessKey":"{OTHER_ACCESS_KEY}","secretKey":"{OTHER_SECRET_KEY}"}}],
                "actions":["Read:elsewhere"]}}]}}"#
        );
        std::fs::write(scratch.path().join("s3.json"), identities).expect("a file of identities");
        let ports = Ports {
            s3: free_port(),
            rest: std::array::from_fn(|_| free_port()),
        };
        let child = serve(scratch.path(), &ports);
        Self {
            ports,
            made: AtomicU32::new(0),
            child,
            scratch,
        }
    }

    /// The address, `http://127.0.0.1:port`; buckets are the first part of the path.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.s3)
    }

    /// The key id that may do everything.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Its secret.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Key id and secret of an account that may do nothing with the buckets here.
    pub fn other_account(&self) -> (&'static str, &'static str) {
        (OTHER_ACCESS_KEY, OTHER_SECRET_KEY)
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// Makes an empty private bucket and returns its name.
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.request("PUT", &format!("/{name}"), &[]);
        name
    }

    /// The names of a bucket's objects, at most 1,000.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let listing =
            String::from_utf8_lossy(&self.request("GET", &format!("/{bucket}?list-type=2"), &[])).into_owned();
        let parts = listing.split("<Key>").skip(1);
        parts
            .filter_map(|part| part.split("</Key>").next())
            .map(str::to_owned)
            .collect()
    }

    /// An object's bytes.
    pub fn object(&self, bucket: &str, name: &str) -> Vec<u8> {
        self.request("GET", &format!("/{bucket}/{name}"), &[])
    }

    /// Lets a principal (JSON: `"*"` is everybody) do one thing, `GetObject` or `ListBucket`, with a bucket and its objects.
    pub fn allow(&self, bucket: &str, whom: &str, action: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{whom},"Action":["s3:{action}"],"Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}}]}}"#
        );
        self.request("PUT", &format!("/{bucket}?policy="), &["--data-binary", &policy]);
    }

    /// Takes a bucket's policy away.
    pub fn shut(&self, bucket: &str) {
        self.request("DELETE", &format!("/{bucket}?policy="), &[]);
    }

    /// Gives a bucket one of the ready-made access lists, `private` or `public-read`.
    pub fn set_acl(&self, bucket: &str, acl: &str) {
        let header = format!("x-amz-acl: {acl}");
        self.request("PUT", &format!("/{bucket}?acl="), &["--header", &header]);
    }

    /// Sends one signed request, with extra arguments for curl, and returns the answer's body; panics unless 2xx.
    /// A query without a value is written with its equals sign (`?policy=`), else the signature does not match.
    pub fn request(&self, method: &str, path: &str, arguments: &[&str]) -> Vec<u8> {
        let out = curl(method, &format!("{}{path}", self.endpoint()), arguments)
            .output()
            .expect("curl");
        assert!(
            out.status.success(),
            "{method} {path}: {}{}",
            String::from_utf8_lossy(&out.stderr),
            String::from_utf8_lossy(&out.stdout)
        );
        out.stdout
    }

    /// Stops the server, as if the store were down.
    pub fn stop(&mut self) {
        self.child.kill();
    }

    /// Starts it again with what it held, on the same ports.
    pub fn resume(&mut self) {
        self.child = serve(self.scratch.path(), &self.ports);
    }

    /// The server's process, to freeze and thaw.
    pub fn process(&self) -> &Child {
        &self.child
    }
}

/// One signed request.
fn curl(method: &str, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--noproxy",
        "*",
        "--max-time",
        "60",
    ]);
    let (scope, user) = (format!("aws:amz:{REGION}:s3"), format!("{ACCESS_KEY}:{SECRET_KEY}"));
    command.args(["--aws-sigv4", &scope, "--user", &user]);
    // curl 7.88 signs no body of its own accord; on loopback nothing is lost by saying so.
    command.args([
        "--header",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "--request",
        method,
    ]);
    command.args(arguments).arg(url).stdin(Stdio::null());
    command
}

fn serve(dir: &Path, ports: &Ports) -> Child {
    let Ports { s3, rest } = ports;
    let [
        master,
        master_grpc,
        filer,
        filer_grpc,
        volume,
        volume_grpc,
        s3_grpc,
        admin,
        admin_grpc,
    ] = rest;
    let mut command = Command::new(tools::weed());
    command.current_dir(dir).args(["-logtostderr=true", "mini"]);
    command.arg(format!("-dir={}", dir.join("data").display()));
    for (option, port) in [
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
        ("s3.port", s3),
        ("s3.port.grpc", s3_grpc),
        ("admin.port", admin),
        ("admin.port.grpc", admin_grpc),
    ] {
        command.arg(format!("-{option}={port}"));
    }
    for part in ["filer", "s3"] {
        command.arg(format!(
            "-{part}.localSocket={}",
            dir.join(part).with_extension("sock").display()
        ));
    }
    command.arg(format!("-s3.config={}", dir.join("s3.json").display()));
    command.args([
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]);
    // Nothing but the store, and nothing that calls home.
    command.args([
        "-s3.iam=false",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]);
    std::fs::create_dir_all(dir.join("data")).expect("a folder for its data");
    let mut child = Child::spawn("SeaweedFS", &command, None, &dir.join("log"));
    // The gateway answers before the parts behind it know each other. Asking it too early costs five seconds of its own
    // retries, so the master is asked first whether the volumes have reported; then it is ready once it keeps what it is
    // given. A bucket that is there already answers 409, which is as good.
    let status = format!("http://127.0.0.1:{master}/dir/status");
    child.wait_until("joined by its volumes", START, || {
        let told = curl("GET", &status, &[]).output().expect("curl").stdout;
        String::from_utf8_lossy(&told).contains(&format!("127.0.0.1:{volume}"))
    });
    let endpoint = format!("http://127.0.0.1:{s3}");
    child.wait_until("ready", START, || {
        curl("PUT", &format!("{endpoint}/readiness"), &[])
            .output()
            .expect("curl");
        let object = format!("{endpoint}/readiness/probe");
        let put = curl("PUT", &object, &["--data-binary", "kept"]).output().expect("curl");
        put.status.success() && curl("GET", &object, &[]).output().expect("curl").stdout == b"kept"
    });
    child
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_keep_objects_over_a_stop_and_refuse_strangers() {
        let mut seaweed = Seaweed::start();
        let bucket = seaweed.bucket();
        assert!(seaweed.names(&bucket).is_empty());
        seaweed.request("PUT", &format!("/{bucket}/a/b"), &["--data-binary", "bytes"]);
        assert_eq!(seaweed.names(&bucket), ["a/b"]);
        let unsigned = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"])
            .arg(format!("{}/{bucket}/a/b", seaweed.endpoint()))
            .output()
            .unwrap();
        assert_eq!(unsigned.stdout, b"403");
        seaweed.stop();
        seaweed.resume();
        assert_eq!(seaweed.object(&bucket, "a/b"), b"bytes");
    }
}
