"""tus clients that nobody here wrote, over links that cut, reset, stall and slow every connection: each clip arrives whole, and
hardly a byte goes twice."""

import asyncio
import contextlib
import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import unittest

import aiotus
from tusclient import client as tuspy
from vault import Vault, free_port

CLIP_BYTES = 15_000_000
CUT_EVERY = 5_000_000
# Of the clip, headers and questions included.
AT_MOST = 1.03
# Some hundred times a good uplink; at full speed of the loopback a reset would discard megabytes that nobody had read yet.
RATE = 12_000_000
LINKS = {
    "cut by FIN": [f"cut={CUT_EVERY}", f"rate={RATE}"],
    "cut by RST": [f"reset={CUT_EVERY}", f"rate={RATE}"],
    "stalling": [f"stall={CUT_EVERY * 2}"],
    "slow": ["rate=8000000"],
}


@contextlib.contextmanager
def link(port, target, *rules):
    """A link of its own; what it carried is asked of it by the function that is given."""
    program = pathlib.Path(__file__).with_name("link.py")
    child = subprocess.Popen([sys.executable, "-B", program, str(port), str(target), *rules], stdout=subprocess.PIPE, text=True)
    carried = []

    def end():
        if not carried:
            child.send_signal(signal.SIGTERM)
            carried.append(int(child.stdout.readline()))
        return carried[0]

    try:
        assert child.stdout.readline() == "listening\n"
        yield end
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


class BadLink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The address that answers name is the link's: nobody gets round it.
        cls.port = free_port()
        cls.vault = cls.enterClassContext(Vault("--public-url", f"http://127.0.0.1:{cls.port}"))
        cls.token = cls.vault.owner()
        cls.device = cls.vault.device(cls.token)
        cls.uploads = f"http://127.0.0.1:{cls.port}/v1/uploads"

    def headers(self):
        return {"Authorization": f"Bearer {self.vault.device_token(self.device)}"}

    def over_every_link(self, upload):
        for name, rules in LINKS.items():
            with self.subTest(name), link(self.port, self.vault.port, *rules) as carried:
                plain = random.randbytes(CLIP_BYTES)
                file = self.vault.dir / "clip.bin"
                file.write_bytes(plain)
                location = upload(file)
                self.assertTrue(location.startswith(self.uploads), location)
                clip = self.vault.settled(self.token, location.rsplit("/", 1)[1])
                # It is no video; what matters here is that every byte is there.
                self.assertEqual(clip["sha256"], hashlib.sha256(plain).hexdigest())
                ratio = carried() / CLIP_BYTES
                print(f"{upload.__name__}, {name}: {ratio:.4f} of the clip's bytes sent", file=sys.stderr)
                self.assertLessEqual(ratio, AT_MOST)

    def test_tuspy(self):
        def tuspy_client(file):
            client = tuspy.TusClient(self.uploads, headers=self.headers())
            with file.open("rb") as stream:
                up = client.uploader(file_stream=stream, retries=20, retry_delay=0.2)
                up.upload()
            return up.url

        self.over_every_link(tuspy_client)

    def test_aiotus(self):
        def aiotus_client(file):
            async def go():
                with file.open("rb") as stream:
                    patience = aiotus.RetryConfiguration(max_retry_period_seconds=0.2)
                    return await aiotus.upload(self.uploads, stream, {}, headers=self.headers(), config=patience)

            return str(asyncio.run(go()))

        self.over_every_link(aiotus_client)


if __name__ == "__main__":
    unittest.main()
