"""A road clip in through the vehicle's client and through tus clients that nobody here wrote; out again exactly, as a
player, curl and wget ask for it."""

import asyncio
import hashlib
import random
import subprocess
import unittest

import aiotus
from tusclient import client as tuspy
from vault import CLIP, CLIP_FRAMES, Vault


class RoundTrip(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vault = cls.enterClassContext(Vault())
        cls.token = cls.vault.owner()
        cls.device = cls.vault.device(cls.token)
        cls.told = cls.vault.upload(cls.device, CLIP)
        cls.clip = cls.vault.settled(cls.token, cls.told["clip_id"])
        cls.bytes = CLIP.read_bytes()
        cls.base = f"/v1/clips/{cls.clip['id']}"

    def test_the_client_tells_what_was_stored(self):
        self.assertEqual(self.clip["state"], "ready", self.clip)
        self.assertEqual(self.told["bytes"], len(self.bytes))
        self.assertEqual(self.told["sha256"], hashlib.sha256(self.bytes).hexdigest())
        self.assertEqual(self.clip["sha256"], self.told["sha256"])
        self.assertTrue(self.told["receipt"])

    def test_the_original_comes_back_exactly(self):
        got = self.vault.request("GET", self.base + "/original", self.token)
        self.assertEqual(got.status, 200)
        self.assertEqual(got.body, self.bytes)

    def test_random_ranges_are_right(self):
        rng = random.Random(20)
        size = len(self.bytes)
        for _ in range(100):
            first = rng.randrange(size)
            last = min(size - 1, first + rng.choice([0, 1, 4095, 65536, 262144, 700_000]))
            got = self.vault.request("GET", self.base + "/original", self.token, Range=f"bytes={first}-{last}")
            self.assertEqual((got.status, got.headers["Content-Range"]), (206, f"bytes {first}-{last}/{size}"))
            self.assertEqual(got.body, self.bytes[first:last + 1])

    def test_a_suffix_and_a_range_past_the_end(self):
        size = len(self.bytes)
        got = self.vault.request("GET", self.base + "/original", self.token, Range="bytes=-100")
        self.assertEqual((got.status, got.body), (206, self.bytes[-100:]))
        got = self.vault.request("GET", self.base + "/original", self.token, Range=f"bytes={size}-")
        self.assertEqual((got.status, got.headers["Content-Range"]), (416, f"bytes */{size}"))

    def test_every_rendition_decodes_to_every_frame(self):
        self.assertTrue(self.clip["renditions"])
        for rendition in self.clip["renditions"]:
            got = self.vault.request("GET", f"{self.base}/renditions/{rendition['name']}.mp4", self.token)
            file = self.vault.dir / "rendition.mp4"
            file.write_bytes(got.body)
            probe = subprocess.run(
                ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
                 "stream=codec_name,width,height,nb_read_frames", "-of", "csv=p=0", file], capture_output=True, text=True)
            self.assertEqual(probe.stderr, "", rendition)
            codec, width, height, frames = probe.stdout.strip().strip(",").split(",")[:4]
            self.assertEqual((codec, int(width), int(height)), ("h264", rendition["width"], rendition["height"]))
            self.assertGreaterEqual(int(frames), 0.95 * CLIP_FRAMES)

    def test_curl_and_wget_resume_to_the_same_bytes(self):
        url = self.vault.url + self.base + "/original"
        for name, command in {
            "curl": ["curl", "-sS", "--fail", "--noproxy", "*", "-C", "-", "-o"],
            "wget": ["wget", "-q", "--no-proxy", "-c", "-O"],
        }.items():
            with self.subTest(name):
                file = self.vault.dir / name
                file.write_bytes(self.bytes[:1_000_001])
                option = "-H" if name == "curl" else "--header"
                r = subprocess.run([*command, file, option, f"Authorization: Bearer {self.token}", url], capture_output=True, text=True)
                self.assertEqual((r.returncode, r.stderr), (0, ""))
                self.assertEqual(file.read_bytes(), self.bytes)

    def test_tuspy_uploads_in_chunks(self):
        client = tuspy.TusClient(self.vault.url + "/v1/uploads", headers={"Authorization": f"Bearer {self.vault.device_token(self.device)}"})
        up = client.uploader(str(CLIP), chunk_size=700_000, metadata={"filename": "by tuspy.mp4"})
        up.upload()
        self.check_copy(up.url)

    def test_aiotus_uploads(self):
        headers = {"Authorization": f"Bearer {self.vault.device_token(self.device)}"}

        async def go():
            with CLIP.open("rb") as file:
                return await aiotus.upload(self.vault.url + "/v1/uploads", file, {"filename": b"by aiotus.mp4"}, headers=headers)

        self.check_copy(str(asyncio.run(go())))

    def check_copy(self, location):
        clip = self.vault.settled(self.token, location.rsplit("/", 1)[1])
        self.assertEqual((clip["state"], clip["sha256"]), ("ready", hashlib.sha256(self.bytes).hexdigest()))

    def test_a_stranger_sees_nothing(self):
        other = self.vault.owner("other@example.org")
        for token in (None, other):
            for path in (self.base, self.base + "/original", self.base + "/poster.jpg", self.base + "/hls/main.m3u8"):
                got = self.vault.request("GET", path, token)
                self.assertEqual(got.status, 404 if token else 401, path)
                self.assertNotIn(b"carnd", got.body)


if __name__ == "__main__":
    unittest.main()
