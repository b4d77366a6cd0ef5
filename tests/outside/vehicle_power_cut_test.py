"""The power goes in a vehicle that watches its folder: what it told of a clip is on its disk, and nothing is delivered twice.

Card, queue and device file are an ext4 in a file. After some of the lines that the program prints it is stopped where it
stands and the file is copied: the copy holds what reached the disk. It is mounted in place of the first, and the vehicle goes
on from there."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import unittest

from vault import PROGRAM, Vault, own_mounts, rounds
from power_cut_test import MOUNT, eat_syncs

own_mounts()

DISK_MIB = 64
CLIP_BYTES = 200_000
SEED = 28
# What is true once it was told.
LASTING = ("delivered", "deleted")


class Vehicle:
    """A vehicle whose whole disk may be replaced by what a power cut left of it."""

    def __init__(self, vault, dir, device):
        self.vault, self.dir, self.at, self.images = vault, dir, dir / "mounted", 0
        self.at.mkdir()
        image = self.image()
        with image.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self.mount(image)
        self.card = self.at / "card"
        self.card.mkdir()
        shutil.copy(device, self.at / "device.json")
        self.sync()

    def image(self):
        self.images += 1
        return self.dir / f"disk-{self.images}"

    def mount(self, image):
        self.now = image
        subprocess.run(["mount", "-o", MOUNT, image, self.at], check=True)

    def sync(self):
        subprocess.run(["sync", "-f", self.at], check=True)

    def end(self):
        subprocess.run(["umount", "-l", self.at], check=True)

    def start(self, *more, **environment):
        arguments = [PROGRAM, "upload", "--json", "--settle-secs", "0", "--look-millis", "50", "--server", self.vault.url,
                     "--device", self.at / "device.json", "--watch", self.card, "--delete", *more]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=dict(os.environ, **environment))

    def run_until_cut(self, lines, **environment):
        """Runs until it has told so many lines, or has nothing left to do; what it told. Then the power goes."""
        told = []
        courier = self.start("--once", **environment)
        for line in courier.stdout:
            told.append(json.loads(line))
            if len(told) == lines:
                break
        os.kill(courier.pid, signal.SIGSTOP)
        image = self.image()
        subprocess.run(["cp", "--sparse=always", self.now, image], check=True)
        courier.kill()
        courier.wait()
        courier.stdout.close()
        self.end()
        self.now.unlink()
        self.mount(image)
        return told


class VehiclePowerCut(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dashvault-vehicle-")))
        self.chance = random.Random(SEED)
        self.vault = self.enterContext(Vault())
        self.owner = self.vault.owner()
        self.vehicle = Vehicle(self.vault, self.dir, self.vault.device(self.owner))
        self.addCleanup(self.vehicle.end)

    def record(self, number):
        path = self.vehicle.card / f"{number}.mp4"
        path.write_bytes(self.chance.randbytes(CLIP_BYTES + number))
        # The camera's own affair.
        self.vehicle.sync()

    def cuts(self, count, **environment):
        """Cuts the power so often; every line that is true once it was told."""
        told, recorded = [], 0
        for cut in range(count):
            if cut % 2 == 0:
                recorded += 1
                self.record(recorded)
            told += self.vehicle.run_until_cut(self.chance.randrange(1, 8), **environment)
        return recorded, [(line["event"], line["file"]) for line in told if line["event"] in LASTING]

    def test_what_was_told_lasts_and_each_clip_is_there_once(self):
        recorded, lasting = self.cuts(rounds("power cuts of a vehicle", 16, 100))
        for event, file in lasting:
            if event == "deleted":
                self.assertFalse(os.path.exists(file), f"{file} was told to be deleted")
        courier = self.vehicle.start("--once")
        told = [json.loads(line) for line in courier.stdout]
        courier.stdout.close()
        self.assertEqual(courier.wait(), 0)
        lasting += [(line["event"], line["file"]) for line in told if line["event"] in LASTING]
        delivered = [file for event, file in lasting if event == "delivered"]
        # A cut may come before the line does, so some were never told; none is told twice.
        self.assertEqual(len(delivered), len(set(delivered)), "delivered twice")
        self.assertEqual(list(self.vehicle.card.glob("[!.]*")), [])
        clips = self.vault.request("GET", "/v1/clips?limit=100", self.owner).json["clips"]
        arrived = sorted(clip["bytes"] for clip in clips if clip["state"] != "uploading")
        self.assertEqual(arrived, [CLIP_BYTES + number for number in range(1, recorded + 1)])

    def test_a_vehicle_that_does_not_sync_forgets(self):
        """The same cut sees what it is for."""
        self.record(1)
        told = self.vehicle.run_until_cut(1000, LD_PRELOAD=eat_syncs())
        self.assertIn("deleted", [line["event"] for line in told])
        self.assertTrue((self.vehicle.card / "1.mp4").exists())


if __name__ == "__main__":
    unittest.main()
