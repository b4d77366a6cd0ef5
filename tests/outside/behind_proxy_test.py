"""The vault behind Caddy as docs/Caddyfile sets it up, with a certificate of Caddy's own: what the compose file does, in
small."""

import hashlib
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from vault import CLIP, TOP, Vault, free_port

CADDY = pathlib.Path(os.environ["DASHVAULT_PYTHON"]).with_name("caddy")


class BehindProxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.https = free_port()
        cls.public = f"https://localhost:{cls.https}"
        cls.vault = cls.enterClassContext(Vault("--behind-proxy", "127.0.0.1/32", "--public-url", cls.public, "--keyring-beside-data"))
        text = (TOP / "docs" / "Caddyfile").read_text().replace("vault:8080", f"127.0.0.1:{cls.vault.port}")
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tlocal_certs\n}\n"
        config = cls.vault.dir / "Caddyfile"
        config.write_text(options + text)
        env = dict(os.environ, VAULT_HOST=cls.public, XDG_DATA_HOME=str(cls.vault.dir), XDG_CONFIG_HOME=str(cls.vault.dir), HOME=str(cls.vault.dir))
        log = (cls.vault.dir / "caddy.log").open("wb")
        cls.proxy = subprocess.Popen([CADDY, "run", "--adapter", "caddyfile", "--config", config], env=env, stdout=log, stderr=log)
        cls.addClassCleanup(lambda: (cls.proxy.kill(), cls.proxy.wait(), log.close()))
        root = cls.vault.dir / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        for _ in range(300):
            if root.exists():
                cls.tls = ssl.create_default_context(cafile=root)
                try:
                    with socket.create_connection(("127.0.0.1", cls.https), 5) as s, cls.tls.wrap_socket(s, server_hostname="localhost"):
                        return
                except OSError:
                    pass
            time.sleep(0.1)
        raise AssertionError((cls.vault.dir / "caddy.log").read_text()[-2000:])

    def get(self, path, **headers):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls))
        try:
            with opener.open(urllib.request.Request(self.public + path, headers=headers), timeout=60) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def test_a_clip_goes_in_and_out_over_tls(self):
        token = self.vault.owner()
        device = self.vault.device(token)
        told = self.vault.upload(device, CLIP)
        self.vault.settled(token, told["clip_id"])
        bearer = {"Authorization": f"Bearer {token}"}
        status, _, body = self.get(f"/v1/clips/{told['clip_id']}/original", **bearer)
        self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, told["sha256"]))
        status, headers, body = self.get(f"/v1/clips/{told['clip_id']}/original", Range="bytes=10-19", **bearer)
        self.assertEqual((status, headers["Content-Range"].split("/")[0], len(body)), (206, "bytes 10-19", 10))

    def test_addresses_come_from_the_public_url(self):
        told = self.vault.run("owner", "add", "--email", "addresses@example.org", "--data", self.vault.data,
                              "--public-url", self.public, "--json")[-1]
        self.assertTrue(told["sign_in_url"].startswith(self.public + "/sign-in#"), told["sign_in_url"].split("#")[0])


if __name__ == "__main__":
    unittest.main()
