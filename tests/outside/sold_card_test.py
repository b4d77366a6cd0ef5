"""A vehicle is sold with its card in it: what its old owner drove does not come to the new one, whichever way it was paired anew; with
the real client."""

import json
import pathlib
import random
import subprocess
import unittest

from vault import PROGRAM, Vault


class SoldCard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vault = cls.enterClassContext(Vault())

    def setUp(self):
        self.name = self.id().rsplit(".test_", 1)[1][:30]
        self.old, self.new = (self.vault.owner(f"{who}-{self.name}@example.org") for who in ("old", "new"))
        self.device = self.vault.device(self.old, self.name)
        self.card = self.vault.dir / f"{self.name}-card"
        self.card.mkdir()

    def record(self, name, size):
        path = self.card / name
        path.write_bytes(random.randbytes(size))
        return path

    def courier(self, device, *more):
        """Until nothing more can be done; the exit code, the lines, and what a person reads."""
        ran = subprocess.run([PROGRAM, "upload", "--server", self.vault.url, "--device", device, "--watch", self.card, "--once", "--json",
                              "--settle-secs", "0", "--look-millis", "50", *more], capture_output=True, text=True, timeout=300)
        return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr

    def told(self, lines, event):
        return [pathlib.Path(line["file"]).name for line in lines if line.get("event") == event]

    def lengths(self, token):
        return sorted(clip["bytes"] for clip in self.vault.request("GET", "/v1/clips?limit=100", token).json["clips"])

    def sell(self, device):
        """The old owner revokes the vehicle, the new one pairs it; the new device file, in the place of the old one when `device` is it."""
        vehicle = self.vault.request("GET", "/v1/devices", self.old).json["devices"][0]["id"]
        self.assertEqual(self.vault.request("DELETE", f"/v1/devices/{vehicle}", self.old).status, 204)
        self.device.rename(self.device.with_suffix(".old"))
        code = self.vault.request("POST", "/v1/devices/pairing-codes", self.new, {"label": "bought"}).json["code"]
        self.vault.run("device", "pair", "--server", self.vault.url, "--code", code, "--out", device)
        return vehicle

    def sold(self, new_device):
        self.record("delivered.mp4", 11_000)
        self.assertEqual(self.courier(self.device)[0], 0)
        queued = self.record("queued.mp4", 12_000)
        before = queued.read_bytes()
        code, lines, _ = self.courier(self.device, "--link", "none")
        self.assertEqual((code, self.told(lines, "queued")), (0, ["queued.mp4"]), "found, and still to be sent")
        vehicle = self.sell(new_device)
        code, lines, why = self.courier(new_device, "--delete")
        self.assertEqual(code, 1)
        foreign = [line for line in lines if line["event"] == "foreign"]
        self.assertEqual([line["clips"] for line in foreign], [2])
        for words in ("2 clips in", str(self.card), "another's", "untouched", "--take-over"):
            self.assertIn(words, why)
        # The new owner's drive goes as ever, also after another start.
        self.record("new.mp4", 13_000)
        code, lines, _ = self.courier(new_device, "--delete")
        self.assertEqual(self.told(lines, "delivered"), ["new.mp4"])
        self.assertEqual((self.lengths(self.old), self.lengths(self.new)), ([11_000], [13_000]))
        self.assertEqual(queued.read_bytes(), before)
        self.assertEqual(sorted(path.name for path in self.card.glob("*.mp4")), ["delivered.mp4", "queued.mp4"])
        return vehicle

    def test_a_new_device_file_in_the_place_of_the_old_one_leaves_the_old_owners_clips_and_queue_alone(self):
        vehicle = self.sold(self.device)
        aside = pathlib.Path(f"{self.device}.queue.{vehicle}")
        texts = [json.loads(path.read_text()) for path in aside.glob("clip-*.json")]
        self.assertEqual([entry["state"] for entry in texts if entry["path"].endswith("delivered.mp4")], ["delivered"])

    def test_a_new_device_file_elsewhere_leaves_them_alone_too(self):
        self.sold(self.vault.dir / f"{self.name}-bought.json")

    def test_an_owner_who_paired_the_vehicle_anew_says_so_and_all_clips_come(self):
        self.record("queued.mp4", 12_000)
        self.courier(self.device, "--link", "none")
        self.new = self.old
        device = self.vault.dir / f"{self.name}-again.json"
        self.sell(device)
        self.assertEqual(self.courier(device)[0], 1)
        code, lines, _ = self.courier(device, "--take-over")
        self.assertEqual((code, self.told(lines, "delivered")), (0, ["queued.mp4"]))
        self.record("later.mp4", 14_000)
        code, lines, _ = self.courier(device)
        self.assertEqual((code, self.told(lines, "delivered")), (0, ["later.mp4"]))


if __name__ == "__main__":
    unittest.main()
