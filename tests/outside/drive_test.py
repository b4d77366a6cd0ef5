"""A simulated drive: a vehicle in a network of its own, whose link to the vault widens, narrows, loses packets, goes dark in tunnels
and forgets its connections at hand-overs. Each clip arrives whole; when each did, and the bytes on the wire, are printed.

    drive_test.py tuspy UPLOADS TOKEN_FILE FILE...  (what the test itself runs in the vehicle's network)

The link is a veth pair: tbf shapes what the vehicle sends, nftables drops packets at random. There is no delay but that of the queue:
netem, which could add some, is not in every kernel."""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import unittest

from proxy import Proxy
from tusclient import client as tuspy
from vault import PATH, PROGRAM, Vault, free_port, own_network, rounds

VAULT, CAR = "10.77.0.1", "10.77.0.2"
# Seconds, kbit/s that the vehicle may send, packets of a thousand lost each way; "tunnel" and "hand-over" say themselves.
DRIVE = [
    (1.5, 8000, 5),
    (1, "tunnel"),
    (1.5, 3000, 20),
    "hand-over",
    (1.5, 800, 40),
    (1, 6000, 10),
    "hand-over",
    (1, 10000, 2),
    (2, "tunnel"),
    "hand-over",
    (1.5, 2000, 30),
]
# What a queue of the modem holds: that much more delay, at most.
QUEUE_MS = 300
# The names come in another order than the clips should: the folder says what each is worth.
CLIPS = {"a/routine-1.mp4": 1_200_000, "b/routine-2.mp4": 800_000, "c/routine-3.mp4": 1_000_000, "d/small/low.mp4": 150_000,
         "e/events/brake.mp4": 200_000}
# Of the clips, at the vehicle's interface: Ethernet, IP, TCP, TLS and HTTP, all that was lost and sent again, all tries.
AT_MOST = 1.25
MOST_SECONDS = 200


def call(*words, where=()):
    run = subprocess.run([*where, *map(str, words)], capture_output=True, text=True, env=dict(os.environ, PATH=PATH))
    assert run.returncode == 0, f"{words}: {run.stderr}"
    return run.stdout


class Link:
    """The vehicle's network and its link; `with` brings both and takes them away."""

    def __enter__(self):
        self.car = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.inside = ["nsenter", "-t", str(self.car.pid), "-n"]
        # It is there once it is not ours.
        while os.readlink(f"/proc/{self.car.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        call("ip", "link", "add", "vault0", "type", "veth", "peer", "name", "car0", "netns", self.car.pid)
        call("ip", "address", "add", f"{VAULT}/24", "dev", "vault0")
        call("ip", "link", "set", "vault0", "up")
        for words in (("ip", "link", "set", "lo", "up"), ("ip", "address", "add", f"{CAR}/24", "dev", "car0"),
                      ("ip", "link", "set", "car0", "up"), ("tc", "qdisc", "add", "dev", "car0", "root", *shape(10_000))):
            call(*words, where=self.inside)
        # What is lost on its way up was sent, and is paid for: it is dropped where it arrives.
        for where in ((), self.inside):
            call("nft", "add table ip link; add chain ip link in { type filter hook input priority 0; };"
                 "add chain ip link out { type filter hook output priority 0; }", where=where)
        return self

    def __exit__(self, *_):
        self.car.kill()
        self.car.wait()
        with contextlib.suppress(AssertionError):
            call("ip", "link", "del", "vault0")
        call("nft", "delete table ip link")

    def rules(self, *of_car, vault=""):
        call("nft", "flush table ip link; " + "; ".join(of_car), where=self.inside)
        call("nft", f"flush table ip link; {vault}")

    def go(self, kbits, lost):
        call("tc", "qdisc", "change", "dev", "car0", "root", *shape(kbits), where=self.inside)
        some = f"numgen random mod 1000 < {lost} drop"
        self.rules(f"add rule ip link in iif car0 {some}", vault=f"add rule ip link in iif vault0 {some}")

    def tunnel(self):
        self.rules("add rule ip link in iif car0 drop", "add rule ip link out oif car0 drop")

    def hand_over(self):
        """The modem takes all connections down; nobody tells the vault."""
        self.rules("add rule ip link out oif car0 meta l4proto tcp reject with tcp reset", "add rule ip link in iif car0 drop")
        time.sleep(0.3)

    def sent_bytes(self):
        told = json.loads(call("ip", "-s", "-j", "link", "show", "car0", where=self.inside))
        return told[0]["stats64"]["tx"]["bytes"]


def shape(kbits):
    return ("tbf", "rate", f"{kbits}kbit", "burst", "16kb", "latency", f"{QUEUE_MS}ms")


class Journey(threading.Thread):
    """Drives the same road again and again until it is told to end."""

    def __init__(self, link):
        super().__init__(daemon=True)
        self.link, self.over, self.tunnels, self.hand_overs = link, threading.Event(), 0, 0

    def run(self):
        while True:
            for part in DRIVE:
                if self.over.is_set():
                    return
                if part == "hand-over":
                    self.hand_overs += 1
                    self.link.hand_over()
                elif part[1] == "tunnel":
                    self.tunnels += 1
                    self.link.tunnel()
                    self.over.wait(part[0])
                else:
                    self.link.go(part[1], part[2])
                    self.over.wait(part[0])


class Drive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.link = cls.enterClassContext(Link())
        port = free_port()
        cls.public = f"https://{VAULT}:{port}"
        cls.vault = cls.enterClassContext(Vault("--behind-proxy", "127.0.0.1/32", "--public-url", cls.public, "--keyring-beside-data"))
        cls.proxy = cls.enterClassContext(Proxy("haproxy", port, cls.vault.port, cls.vault.dir / "proxy", VAULT))
        cls.token = cls.vault.owner()
        cls.device = cls.vault.device(cls.token)

    def drive(self, name, command):
        """Runs a client in the vehicle's network while it drives. It prints a line of JSON for each clip that the vault has, with its id;
        the names of the clips in this order."""
        folder, plain = self.vault.dir / name.replace(" ", "-"), {}
        for turn in range(rounds(f"clips of each kind on a drive, {name}", 1, 5)):
            for file, size in CLIPS.items():
                path = folder / str(turn) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(random.randbytes(size))
                plain[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        self.link.go(DRIVE[0][1], DRIVE[0][2])
        before, began, journey = self.link.sent_bytes(), time.monotonic(), Journey(self.link)
        journey.start()
        env = dict(os.environ, SSL_CERT_FILE=str(self.proxy.root), REQUESTS_CA_BUNDLE=str(self.proxy.root), NO_PROXY=f"{VAULT},127.0.0.1")
        child = subprocess.Popen([*self.link.inside, *command(folder, plain)], stdout=subprocess.PIPE, text=True, env=env, cwd=self.vault.dir)
        kill = threading.Timer(MOST_SECONDS * len(plain) / len(CLIPS), child.kill)
        kill.start()
        arrived = []
        ids = {}
        with child.stdout:
            for line in child.stdout:
                told = json.loads(line)
                if told.get("event", "sent") == "sent":
                    arrived.append((told["file"], time.monotonic() - began))
                if told.get("clip_id"):
                    ids[told["file"]] = told["clip_id"]
        code = child.wait()
        kill.cancel()
        journey.over.set()
        journey.join()
        self.link.go(DRIVE[0][1], 0)
        sent, clips = self.link.sent_bytes() - before, sum(pathlib.Path(file).stat().st_size for file in plain)
        order = ", ".join(f"{pathlib.Path(file).name} {at:.1f} s" for file, at in arrived)
        print(f"{name}, {journey.tunnels} tunnels and {journey.hand_overs} hand-overs: {order}; {sent} bytes on the wire for {clips} of"
              f" clips, {sent / clips:.4f} times", file=sys.stderr)
        self.assertEqual(code, 0)
        self.assertEqual(sorted(file for file, _ in arrived), sorted(plain), "each clip arrives, once")
        for file, sha256 in plain.items():
            self.assertEqual(self.vault.settled(self.token, ids[file])["sha256"], sha256)
        self.assertGreater(journey.hand_overs, 0, "no drive at all")
        self.assertTrue(1 <= sent / clips <= AT_MOST)
        return [pathlib.Path(file).name for file, _ in arrived]

    def test_our_client_brings_the_worthiest_first(self):
        def command(folder, _):
            return [PROGRAM, "upload", "--server", self.public, "--device", str(self.device), "--watch", str(folder), "--once",
                    "--settle-secs", "0", "--look-millis", "100", "--json"]

        order = self.drive("our client", command)
        each = len(order) // len(CLIPS)
        self.assertEqual(order[:2 * each], ["brake.mp4"] * each + ["low.mp4"] * each)

    def test_tuspy(self):
        token = self.vault.dir / "token"
        token.write_text(self.vault.device_token(self.device))
        uploads = self.public + "/v1/uploads"
        self.drive("tuspy", lambda _, files: [sys.executable, "-B", __file__, "tuspy", uploads, str(token), *files])


def send_by_tuspy(uploads, token_file, *files):
    token = pathlib.Path(token_file).read_text()
    for file in files:
        client = tuspy.TusClient(uploads, headers={"Authorization": f"Bearer {token}"})
        with open(file, "rb") as stream:
            up = client.uploader(file_stream=stream, retries=100, retry_delay=0.5)
            up.upload()
        print(json.dumps({"file": file, "clip_id": up.url.rsplit("/", 1)[1]}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["tuspy"]:
        send_by_tuspy(*sys.argv[2:])
    else:
        own_network()
        unittest.main()
