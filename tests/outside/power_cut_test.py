"""The power goes right after an answer: what the answer acknowledged is on the disk, whatever the machine still held in memory.

The vault's folder is an ext4 in a file. At an acknowledgement the service is stopped where it stands and the file is copied:
it holds what reached the disk, and nothing of what the file system only had in memory. The copy is mounted, a service is
started on it, and the upload goes on from there."""

import concurrent.futures
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

from vault import Vault, own_mounts, rounds

own_mounts()

DISK_MIB = 256
CLIP_BYTES = 700_000
# The file system itself writes back so seldom that nothing reaches the disk but what the service had synced.
MOUNT = "loop,commit=600,noatime"
LANES = 3
SEED = 20


def eat_syncs():
    """The library that makes nothing of every sync."""
    listed = subprocess.run(["dpkg", "-L", "libeatmydata1"], capture_output=True, text=True, check=True).stdout.split()
    return next(path for path in listed if path.endswith("/libeatmydata.so"))


class Disk:
    """An ext4 in a file, mounted until the end of the `with`."""

    def __init__(self, image):
        self.image, self.at = image, pathlib.Path(f"{image}.mounted")

    def __enter__(self):
        self.at.mkdir()
        subprocess.run(["mount", "-o", MOUNT, self.image, self.at], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.at], check=True)
        self.image.unlink()


class Cut:
    """What a vehicle and an owner had been told when the power went."""

    def __init__(self, image, token, location, plain, acknowledged, whole):
        self.image, self.token, self.location, self.plain = image, token, location, plain
        self.acknowledged, self.whole = acknowledged, dict(whole)


def patch(vault, token, location, offset, body):
    told = vault.send("PATCH", location, token, body, Tus_Resumable="1.0.0", Upload_Offset=str(offset),
                      Content_Type="application/offset+octet-stream")
    assert told.status == 204, (told.status, told.body)
    return int(told.headers["Upload-Offset"])


class PowerCut(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dashvault-power-")))
        self.chance = random.Random(SEED)

    def disk(self):
        image = self.dir / "disk"
        with image.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        return self.enterContext(Disk(image))

    def cut(self, disk, vault, name, *told):
        """The power goes: the service does nothing more, and the disk is what it is."""
        os.kill(vault.process.pid, signal.SIGSTOP)
        image = self.dir / name
        subprocess.run(["cp", "--sparse=always", disk.image, image], check=True)
        os.kill(vault.process.pid, signal.SIGCONT)
        return Cut(image, *told)

    def cuts(self, disk, vault, token, count):
        """Uploads in PATCHes of any size, and a cut after some of the answers."""
        cuts, whole = [], {}
        while len(cuts) < count:
            plain = self.chance.randbytes(CLIP_BYTES)
            made = vault.send("POST", "/v1/uploads", token, Tus_Resumable="1.0.0", Upload_Length=str(len(plain)))
            assert made.status == 201, made.body
            location, at = made.headers["Location"].removeprefix(vault.url), 0
            while True:
                if len(cuts) < count and self.chance.random() < 0.6:
                    cuts.append(self.cut(disk, vault, f"cut-{len(cuts)}", token, location, plain, at, whole))
                if at == len(plain):
                    break
                at = patch(vault, token, location, at, plain[at:at + self.chance.randrange(1, 400_000)])
            whole[location] = hashlib.sha256(plain).hexdigest()
        return cuts

    def lost(self, cut):
        """How many acknowledged bytes are not there any more; the upload then goes on to its end and is compared."""
        with Disk(cut.image) as disk, Vault(data=disk.at / "data") as vault:
            asked = vault.send("HEAD", cut.location, cut.token, Tus_Resumable="1.0.0")
            if asked.status != 200:
                return max(cut.acknowledged, 1)
            at = int(asked.headers["Upload-Offset"])
            if at < cut.acknowledged:
                return cut.acknowledged - at
            while at < len(cut.plain):
                at = patch(vault, cut.token, cut.location, at, cut.plain[at:at + 300_000])
            whole = {**cut.whole, cut.location: hashlib.sha256(cut.plain).hexdigest()}
            for location, digest in whole.items():
                self.assertEqual(self.original(vault, cut.token, location), digest)
            return 0

    def original(self, vault, token, location):
        """The digest of what comes back. It is no video, so the clip fails to become one and keeps its original."""
        path = f"/v1/clips/{location.rsplit('/', 1)[1]}"
        end = time.monotonic() + 120
        while time.monotonic() < end:
            got = vault.request("GET", f"{path}/original", token)
            if got.status == 200:
                return hashlib.sha256(got.body).hexdigest()
            time.sleep(0.2)
        raise AssertionError(f"no original: {got.status} {got.body}")

    def test_nothing_acknowledged_is_lost(self):
        count = rounds("power cuts right after an acknowledgement", 20, 100)
        disk = self.disk()
        with Vault(data=disk.at / "data") as vault:
            cuts = self.cuts(disk, vault, vault.owner(), count)
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            self.assertEqual(list(lanes.map(self.lost, cuts)), [0] * count)

    def test_a_service_that_does_not_sync_loses_it(self):
        """The same cuts see what they are for."""
        disk = self.disk()
        with Vault(data=disk.at / "data", LD_PRELOAD=eat_syncs()) as vault:
            token = vault.owner()
            subprocess.run(["sync", "-f", disk.at], check=True)
            cuts = self.cuts(disk, vault, token, 2)
        self.assertTrue(all(self.lost(cut) for cut in cuts))


if __name__ == "__main__":
    unittest.main()
