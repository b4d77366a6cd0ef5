"""A disk that fills up while a clip arrives: a clear refusal, nothing acknowledged is lost, and the upload goes on once there
is room."""

import hashlib
import os
import pathlib
import subprocess
import tempfile
import unittest

from vault import CLIP, Vault, own_mounts

own_mounts()

DISK_MIB = 24
PATCH_BYTES = 400_000


class FullDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        disk = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="dashvault-disk-")))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", disk], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        cls.ballast = disk / "ballast"
        cls.vault = cls.enterClassContext(Vault(data=disk / "data"))
        cls.token = cls.vault.owner()

    def patch(self, location, offset, body):
        return self.vault.send("PATCH", location, self.token, body, Tus_Resumable="1.0.0", Upload_Offset=str(offset),
                               Content_Type="application/offset+octet-stream")

    def offset(self, location):
        asked = self.vault.send("HEAD", location, self.token, Tus_Resumable="1.0.0")
        self.assertEqual(asked.status, 200)
        return int(asked.headers["Upload-Offset"])

    def test_507_then_recovery(self):
        plain = CLIP.read_bytes()
        made = self.vault.send("POST", "/v1/uploads", self.token, Tus_Resumable="1.0.0", Upload_Length=str(len(plain)))
        location = made.headers["Location"]
        self.assertEqual(self.patch(location, 0, plain[:PATCH_BYTES]).status, 204)
        # All that is left but a few blocks.
        free = os.statvfs(self.ballast.parent)
        self.ballast.write_bytes(b"\0" * max(0, free.f_bavail * free.f_bsize - 100_000))
        refused = None
        acknowledged = PATCH_BYTES
        while refused is None:
            told = self.patch(location, acknowledged, plain[acknowledged:acknowledged + PATCH_BYTES])
            if told.status == 204:
                acknowledged = int(told.headers["Upload-Offset"])
            else:
                refused = told
        self.assertEqual(refused.status, 507, refused.body)
        self.assertEqual(refused.headers["Content-Type"], "application/problem+json")
        self.assertLess(acknowledged, len(plain))
        self.assertGreaterEqual(self.offset(location), acknowledged)
        # Other requests still have their answers.
        self.assertEqual(self.vault.request("GET", "/v1/clips", self.token).status, 200)

        self.ballast.unlink()
        at = self.offset(location)
        while at < len(plain):
            told = self.patch(location, at, plain[at:at + PATCH_BYTES])
            self.assertEqual(told.status, 204, told.body)
            at = int(told.headers["Upload-Offset"])
        clip = self.vault.settled(self.token, location.rsplit("/", 1)[1])
        self.assertEqual((clip["state"], clip["sha256"]), ("ready", hashlib.sha256(plain).hexdigest()))


if __name__ == "__main__":
    unittest.main()
