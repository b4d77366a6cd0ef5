"""Clients through nginx, haproxy and Caddy, each as its file in docs/ sets it up, over a link that resets every connection: hardly
a byte goes twice, so a proxy that gathers bodies, or throws away what it has of one that was cut, fails here. What the vault
answers passes as it is: ranges, and refusals with their Retry-After."""

import asyncio
import contextlib
import hashlib
import json
import os
import pathlib
import random
import socket
import ssl
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

import aiotus
from bad_link_test import link
from proxy import KINDS, Proxy
from tusclient import client as tuspy
from vault import CLIP, PROGRAM, Vault, free_port

# Of the bytes that the link counts, which are TLS: records, heads and handshakes are among them.
AT_MOST = 1.05
CLIP_BYTES = 15_000_000
CUT = ["reset=5000000", "rate=12000000"]
REAL_CUT_BYTES = 700_000
LIVE_EACH = 4
# Far less than the 30 s after which the vault ends a silent body by itself.
FREED_SECONDS = 10


class Through(unittest.TestCase):
    """A vault behind each proxy in turn."""

    @classmethod
    def setUpClass(cls):
        # What answers name is the link before the proxy: nobody gets round either.
        cls.port, cls.behind = free_port(), free_port()
        cls.public = f"https://localhost:{cls.port}"
        cls.vault = cls.enterClassContext(Vault("--behind-proxy", "127.0.0.1/32", "--public-url", cls.public, "--keyring-beside-data"))
        cls.token = cls.vault.owner()
        cls.device = cls.vault.device(cls.token)

    def every_proxy(self, what, *rules):
        for kind in KINDS:
            with self.subTest(kind), Proxy(kind, self.behind, self.vault.port, self.vault.dir / kind) as proxy:
                with link(self.port, self.behind, *rules) as carried:
                    what(proxy, carried)

    def ask(self, proxy, method, path, token, body=None, **headers):
        trust = ssl.create_default_context(cafile=proxy.root)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
        headers = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with opener.open(urllib.request.Request(self.public + path, body, headers, method=method), timeout=60) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()


class Clients(Through):
    def headers(self):
        return {"Authorization": f"Bearer {self.vault.device_token(self.device)}"}

    def every_byte_arrives(self, name, upload):
        def go(proxy, carried):
            plain = random.randbytes(CLIP_BYTES)
            file = self.vault.dir / "clip.bin"
            file.write_bytes(plain)
            location = upload(file, proxy)
            self.assertTrue(location.startswith(self.public + "/v1/uploads/"), location)
            clip = self.vault.settled(self.token, location.rsplit("/", 1)[1])
            self.assertEqual(clip["sha256"], hashlib.sha256(plain).hexdigest())
            ratio = carried() / CLIP_BYTES
            print(f"{name} through {proxy.kind}: {ratio:.4f} of the clip's bytes sent, TLS and all", file=sys.stderr)
            self.assertTrue(1 <= ratio <= AT_MOST, ratio)

        self.every_proxy(go, *CUT)

    def test_tuspy(self):
        def upload(file, proxy):
            os.environ["REQUESTS_CA_BUNDLE"] = str(proxy.root)
            client = tuspy.TusClient(self.public + "/v1/uploads", headers=self.headers())
            with file.open("rb") as stream:
                up = client.uploader(file_stream=stream, retries=20, retry_delay=0.2)
                up.upload()
            return up.url

        self.every_byte_arrives("tuspy", upload)

    def test_aiotus(self):
        def upload(file, proxy):
            async def go():
                trust = ssl.create_default_context(cafile=proxy.root)
                patience = aiotus.RetryConfiguration(max_retry_period_seconds=0.2, ssl=trust)
                with file.open("rb") as stream:
                    return await aiotus.upload(self.public + "/v1/uploads", stream, {}, headers=self.headers(), config=patience)

            return str(asyncio.run(go()))

        self.every_byte_arrives("aiotus", upload)


class RealClip(Through):
    def test_a_clip_by_our_client_comes_whole_and_is_read_in_ranges(self):
        def go(proxy, carried):
            # Another clip for each: one that the vault has is not sent again. A box that says nothing ends it, and no decoder looks.
            plain = CLIP.read_bytes() + (16).to_bytes(4, "big") + b"free" + random.randbytes(8)
            file = self.vault.dir / f"{proxy.kind}.mp4"
            file.write_bytes(plain)
            env = dict(os.environ, SSL_CERT_FILE=str(proxy.root))
            ran = subprocess.run([PROGRAM, "upload", "--server", self.public, "--device", self.device, "--wait", "--json", file],
                                 capture_output=True, text=True, env=env, cwd=self.vault.dir, timeout=300)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            told = json.loads(ran.stdout.splitlines()[-1])
            self.assertEqual(told["sha256"], hashlib.sha256(plain).hexdigest())
            self.assertTrue(told["receipt"])
            ratio, cuts = carried() / len(plain), len(plain) // REAL_CUT_BYTES
            print(f"our client through {proxy.kind}: {ratio:.4f} of a real clip's bytes sent, {cuts} cuts, TLS and all", file=sys.stderr)
            self.assertTrue(1 <= ratio <= AT_MOST, ratio)

            with link(self.port, self.behind):
                self.read_in_ranges(proxy, f"/v1/clips/{told['clip_id']}/original", plain)

        self.every_proxy(go, f"reset={REAL_CUT_BYTES}", "rate=4000000")

    def read_in_ranges(self, proxy, path, plain):
        for span, part in (("0-0", plain[:1]), ("1000000-1999999", plain[1_000_000:2_000_000]), ("-100", plain[-100:])):
            status, headers, body = self.ask(proxy, "GET", path, self.token, Range=f"bytes={span}")
            self.assertEqual((status, body), (206, part), span)
            self.assertTrue(headers["Content-Range"].endswith(f"/{len(plain)}"))
        self.assertEqual(self.ask(proxy, "GET", path, self.token, Range=f"bytes={len(plain)}-")[0], 416)
        status, _, body = self.ask(proxy, "GET", path, self.token)
        self.assertEqual((status, hashlib.sha256(body).digest()), (200, hashlib.sha256(plain).digest()))


class Refused(Through):
    def test_a_refusal_passes_with_its_retry_after(self):
        def go(proxy, _):
            token = self.vault.device_token(self.device)
            made = [self.create(proxy, token) for _ in range(LIVE_EACH + 1)]
            with contextlib.ExitStack() as stack:
                for location in made[:LIVE_EACH]:
                    stack.enter_context(self.half_a_patch(proxy, location, token))
                spare = made[LIVE_EACH].removeprefix(self.public)
                status, headers, body = self.patch(proxy, spare, token, b"more")
                self.assertEqual(status, 503, body)
                self.assertGreater(int(headers["Retry-After"]), 0)
                self.assertEqual(headers["Content-Type"], "application/problem+json")
                # Where it stands is told all the same.
                status, headers, _ = self.ask(proxy, "HEAD", spare, token, Tus_Resumable="1.0.0")
                self.assertEqual((status, headers["Upload-Offset"]), (200, "0"))
            # With the clients gone, their turns are free at once: no proxy keeps a request whose client is not there.
            self.vault.until(lambda: self.patch(proxy, spare, token, b"more")[0] == 204, FREED_SECONDS)

        self.every_proxy(go)

    def create(self, proxy, token):
        status, headers, body = self.ask(proxy, "POST", "/v1/uploads", token, b"", Tus_Resumable="1.0.0", Upload_Length="1000000")
        self.assertEqual(status, 201, body)
        return headers["Location"]

    def patch(self, proxy, path, token, body):
        return self.ask(proxy, "PATCH", path, token, body, Tus_Resumable="1.0.0", Upload_Offset="0",
                        Content_Type="application/offset+octet-stream")

    @contextlib.contextmanager
    def half_a_patch(self, proxy, location, token):
        """A body that has begun and does not end; the vault holds its first byte."""
        path = location.removeprefix(self.public)
        head = (f"PATCH {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n"
                "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n")
        trust = ssl.create_default_context(cafile=proxy.root)
        with socket.create_connection(("127.0.0.1", self.port)) as s, trust.wrap_socket(s, server_hostname="localhost") as tls:
            tls.sendall(head.encode() + b"begun")

            # The owner's question leaves the vehicle's request alone.
            def has_begun():
                told = self.vault.send("HEAD", path, self.token, Tus_Resumable="1.0.0")
                return told.headers["Upload-Offset"] == "5"

            self.vault.until(has_begun, 20)
            yield


if __name__ == "__main__":
    unittest.main()
