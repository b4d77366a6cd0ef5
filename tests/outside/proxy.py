"""nginx, haproxy and Caddy in front of a vault, each by its own file in docs/ and with a certificate of the test's own.

    proxy.py KIND LISTEN_PORT VAULT_PORT FOLDER

A program, so that any test can drive it: a line on standard output says that it listens, and FOLDER/root.pem is what to trust. It
ends with SIGTERM."""

import datetime
import ipaddress
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vault import PATH, TOP

DOCS = TOP / "docs"
KINDS = ("nginx", "haproxy", "caddy")
CADDY = pathlib.Path(sys.executable).with_name("caddy")
START_SECONDS = 30


class Proxy:
    """One proxy; `with Proxy("nginx", …)` ends it. It listens on loopback as https://localhost:PORT, or on another address."""

    def __init__(self, kind, port, vault_port, folder, address="127.0.0.1"):
        self.kind, self.port, self.vault_port, self.address = kind, port, vault_port, address
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root.pem"

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        certify(self.folder, self.address)
        command = getattr(self, self.kind)()
        log = self.folder / f"{self.kind}.log"
        with log.open("wb") as out:
            env = dict(os.environ, PATH=PATH, HOME=str(self.folder), XDG_DATA_HOME=str(self.folder), XDG_CONFIG_HOME=str(self.folder))
            env["VAULT_HOST"] = f"https://localhost:{self.port}"
            self.process = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise AssertionError(f"{self.kind}: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            # nginx's and haproxy's children end with their parent only when it is asked.
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def listens(self):
        try:
            with socket.create_connection((self.address, self.port), 5) as s:
                with ssl.create_default_context(cafile=self.root).wrap_socket(s, server_hostname="localhost"):
                    return True
        except OSError:
            return False

    def nginx(self):
        text = put(DOCS / "nginx.conf", {
            "listen 443": f"listen {self.address}:{self.port}",
            "vault.example.org": "localhost",
            "/etc/ssl/vault/fullchain.pem": self.folder / "chain.pem",
            "/etc/ssl/vault/privkey.pem": self.folder / "key.pem",
            "http://vault:8080": f"http://127.0.0.1:{self.vault_port}",
        })
        temporary = "".join(f"\t{name}_temp_path {self.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        around = (f"{user}daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\nerror_log stderr warn;\n"
                  f"events {{ worker_connections 1024; }}\nhttp {{\n\taccess_log off;\n{temporary}{text}}}\n")
        return ["nginx", "-p", self.folder, "-e", "stderr", "-c", self.write("nginx.conf", around)]

    def haproxy(self):
        text = put(DOCS / "haproxy.cfg", {
            "bind :443": f"bind {self.address}:{self.port}",
            "/etc/ssl/vault/all.pem": self.folder / "all.pem",
            "vault:8080": f"127.0.0.1:{self.vault_port}",
            "maxconn 20000": "maxconn 500",
        })
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", text)]

    def caddy(self):
        text = put(DOCS / "Caddyfile", {
            "vault:8080": f"127.0.0.1:{self.vault_port}",
            "{$VAULT_HOST} {": "{$VAULT_HOST} {" + f"\n\ttls {self.folder}/chain.pem {self.folder}/key.pem",
        })
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
        return [CADDY, "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", options + text)]

    def write(self, name, text):
        file = self.folder / name
        file.write_text(text)
        return file


def put(file, places):
    """The file's text with the test's own places; each that it is to have must be there, once."""
    text = file.read_text()
    for written, own in places.items():
        found = len(re.findall(re.escape(written), text))
        assert found == 1, f"{file.name} has {written!r} {found} times"
        text = text.replace(written, str(own))
    return text


def certify(folder, address):
    """An authority of a day (root.pem) and its certificate for localhost and the address: chain.pem and key.pem, and both in all.pem."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def sign(name, key, issuer, issuer_key, is_authority):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False))
        if is_authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        else:
            usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return builder.add_extension(usage, critical=True).sign(issuer_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = sign("a test's authority", authority_key, None, authority_key, True)
    certificate = sign("localhost", key, authority.subject, authority_key, False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, text in {
        "root.pem": authority.public_bytes(pem),
        "chain.pem": certificate.public_bytes(pem),
        "key.pem": private,
        "all.pem": certificate.public_bytes(pem) + private,
    }.items():
        (folder / name).write_bytes(text)


def main():
    kind, port, vault_port, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    assert kind in KINDS, kind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Proxy(kind, port, vault_port, folder):
        print("listening", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
