"""A disk that is nearly full: routine clips wait first, then everything that is no event, also what had begun; where an upload stands
is told all the time, events come in until the end, and with room everything goes on."""

import base64
import hashlib
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

from vault import Vault, own_mounts

own_mounts()

# A hundredth of it is more than a clip here.
DISK_MIB = 200
CLIP_BYTES = 300_000
# The vault looks at its disk once a second.
SEEN_SECONDS = 20


class FillingDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.disk = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="dashvault-disk-")))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", cls.disk], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", cls.disk], check=True)
        cls.vault = cls.enterClassContext(Vault(data=cls.disk / "data", own_marks=True))
        cls.token = cls.vault.owner()
        device = cls.vault.device(cls.token)
        cls.vehicle = lambda _: cls.vault.device_token(device)

    def fill(self, percent):
        """Leaves so much used, whatever the vault has written meanwhile."""
        ballast = self.disk / "ballast"
        ballast.unlink(missing_ok=True)
        disk = os.statvfs(self.disk)
        used, whole = disk.f_blocks - disk.f_bfree, disk.f_blocks - disk.f_bfree + disk.f_bavail
        missing = int(whole * percent / 100) - used
        if missing > 0:
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, missing * disk.f_frsize)

    def create(self, kind):
        told = {"Upload_Metadata": "kind " + base64.b64encode(kind.encode()).decode()} if kind else {}
        return self.vault.send("POST", "/v1/uploads", self.vehicle(), b"", Tus_Resumable="1.0.0", Upload_Length=str(CLIP_BYTES), **told)

    def patch(self, location, offset, body):
        return self.vault.send("PATCH", location, self.vehicle(), body, Tus_Resumable="1.0.0", Upload_Offset=str(offset),
                               Content_Type="application/offset+octet-stream")

    def stands_at(self, location):
        asked = self.vault.send("HEAD", location, self.vehicle(), Tus_Resumable="1.0.0")
        self.assertEqual(asked.status, 200)
        return int(asked.headers["Upload-Offset"])

    def waits(self, answer):
        self.assertEqual(answer.status, 503, answer.body)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(answer.json["type"], "urn:dashvault:problem:storage-filling")

    def until_refused(self, kind):
        self.vault.until(lambda: self.create(kind).status == 503, SEEN_SECONDS)

    def used_permille(self):
        numbers = self.vault.send("GET", f"http://127.0.0.1:{self.vault.admin}/metrics").body.decode()
        return next(int(line.split()[-1]) for line in numbers.splitlines() if line.startswith("dashvault_store_disk_used_permille"))

    def test_routine_waits_first_and_events_never(self):
        plain = random.randbytes(CLIP_BYTES)
        begun = {}
        for kind in ("routine", "event", ""):
            made = self.create(kind)
            self.assertEqual(made.status, 201, made.body)
            begun[kind] = made.headers["Location"]
            self.assertEqual(self.patch(begun[kind], 0, plain[:1000]).status, 204)

        self.fill(88)
        self.until_refused("routine")
        self.assertIn(self.used_permille(), range(850, 950))
        self.waits(self.create("routine"))
        for kind in ("", "event"):
            self.assertEqual(self.create(kind).status, 201, kind)
        # What has begun goes on: creation is shed first.
        self.assertEqual(self.patch(begun["routine"], 1000, plain[1000:2000]).status, 204)

        self.fill(97)
        self.until_refused("")
        self.waits(self.create("routine"))
        self.waits(self.create(""))
        self.waits(self.patch(begun["routine"], 2000, plain[2000:]))
        self.waits(self.patch(begun[""], 1000, plain[1000:]))
        self.assertEqual([self.stands_at(begun[kind]) for kind in ("routine", "")], [2000, 1000])
        self.assertEqual(self.create("event").status, 201)
        self.assertEqual(self.patch(begun["event"], 1000, plain[1000:]).status, 204)
        self.same(begun["event"], plain)

        self.fill(50)
        self.vault.until(lambda: self.create("routine").status == 201, SEEN_SECONDS)
        for kind in ("routine", ""):
            at = self.stands_at(begun[kind])
            self.assertEqual(self.patch(begun[kind], at, plain[at:]).status, 204)
            self.same(begun[kind], plain)

    def same(self, location, plain):
        clip = self.vault.settled(self.token, location.rsplit("/", 1)[1])
        self.assertEqual(clip["sha256"], hashlib.sha256(plain).hexdigest())


if __name__ == "__main__":
    unittest.main()
