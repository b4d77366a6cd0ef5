"""A vault to drive from outside: its program, its HTTP face and nothing else. Used by the *_test.py beside it."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ["DASHVAULT_BIN"]
CLIP = TOP / "tests" / "fixtures" / "clips" / "carnd_solidWhiteRight_960x540.mp4"
CLIP_FRAMES = 221
# The machine's proxy, if it has one, is not for loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Where Debian puts servers and the tools of the network is not in everybody's PATH.
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
# Transcoding ten seconds of video on two busy cores.
READY_SECONDS = 300


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def own_mounts():
    """Begins the program again with mounts of its own, gone with its process; without root, as the root of a user namespace."""
    begin_apart("DASHVAULT_OWN_MOUNTS", "-m")


def own_network():
    """The same with a network of its own, in which there is nothing but loopback."""
    begin_apart("DASHVAULT_OWN_NETWORK", "-n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env=dict(os.environ, PATH=PATH))


def begin_apart(variable, flag):
    if os.environ.get(variable) == "1":
        return
    os.environ[variable] = "1"
    unshare = ["unshare", flag if os.geteuid() == 0 else "-r" + flag[1:]]
    # In a chroot the root is no mount whose propagation could be changed; there, mounts are as private as whoever made it.
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        unshare += ["--propagation", "unchanged"]
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def rounds(name, in_test, in_torture):
    """How often something is done in this run; it is written down for the table of the counts."""
    count = in_torture if os.environ.get("DASHVAULT_TORTURE") else in_test
    if counts := os.environ.get("DASHVAULT_COUNTS"):
        with open(counts, "a") as file:
            file.write(f"{name}\t{count}\n")
    return count


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Vault:
    """A service with its data in a folder of its own; `with Vault() as vault:` ends it and removes the folder."""

    def __init__(self, *arguments, data=None, own_marks=False, **environment):
        # How full the disk under the tests is is not what they are about.
        marks = {} if own_marks else {"DASHVAULT_DISK_ROUTINE_PERCENT": "100", "DASHVAULT_DISK_EVENTS_PERCENT": "100"}
        self.arguments, self.environment, self.data = arguments, dict(os.environ, **marks, **environment), data

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dashvault-outside-"))
        self.data = self.data or self.dir / "data"
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        log = self.dir / "serve.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                 "--admin-listen", f"127.0.0.1:{self.admin}", *self.arguments],
                stdout=out, stderr=out, cwd=self.dir, env=self.environment)
        for _ in range(600):
            try:
                if self.request("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError("not ready: " + log.read_text(errors="replace")[-2000:])

    def run(self, *arguments):
        """Runs a command that must succeed; its JSON lines."""
        r = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=self.dir, timeout=600, env=self.environment)
        assert r.returncode == 0, f"{arguments[:2]}: {r.returncode}: {r.stderr[-2000:]}"
        return [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]

    def request(self, method, path, token=None, body=None, **headers):
        """One request with a JSON body; the names of headers are written with underscores."""
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self.send(method, path, token, json.dumps(body).encode() if body is not None else None, **headers)

    def send(self, method, path, token=None, data=None, **headers):
        """The same with bytes."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = path if path.startswith("http") else self.url + path
        asked = urllib.request.Request(url, data=data, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with DIRECT.open(asked, timeout=60) as r:
                return Answer(r.status, r.headers, r.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read())

    def owner(self, email="owner@example.org"):
        return self.run("owner", "add", "--email", email, "--data", self.data, "--json")[-1]["token"]

    def device(self, token, label="car"):
        made = self.request("POST", "/v1/devices/pairing-codes", token, {"label": label})
        assert made.status in (200, 201), made.body
        out = self.dir / f"{label}.json"
        self.run("device", "pair", "--server", self.url, "--code", made.json["code"], "--out", out)
        return out

    def device_token(self, device):
        """A token that the vehicle signs now."""
        r = subprocess.run([PROGRAM, "device", "token", "--device", device, "--json"], capture_output=True, text=True, check=True)
        out = r.stdout.strip()
        return json.loads(out)["token"] if out.startswith("{") else out

    def upload(self, device, file):
        return self.run("upload", "--server", self.url, "--device", device, "--wait", "--json", file)[-1]

    def end(self):
        """Asks the service to end and waits."""
        self.process.terminate()
        assert self.process.wait(30) == 0, self.process.returncode

    @staticmethod
    def until(condition, seconds=READY_SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came to pass"
            time.sleep(0.2)

    def settled(self, token, clip):
        """The clip once it is ready or failed."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            about = self.request("GET", f"/v1/clips/{clip}", token).json
            if about["state"] in ("ready", "failed"):
                return about
            time.sleep(0.3)
        raise AssertionError(f"never ready: {about}")
