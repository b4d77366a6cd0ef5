"""The README's examples, run as they stand."""

import os
import pathlib
import re
import subprocess
import unittest

from vault import CLIP, TOP, Vault

README = (TOP / "README.md").read_text()


class Readme(unittest.TestCase):
    def test_the_examples_run(self):
        blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.S | re.M)
        self.assertEqual(len(blocks), 1)
        with Vault() as vault:
            token = vault.owner()
            device = vault.device(token)
            told = vault.upload(device, CLIP)
            vault.settled(token, told["clip_id"])
            bin_dir = pathlib.Path(os.environ["DASHVAULT_BIN"]).parent
            env = dict(os.environ, VAULT=vault.url, TOKEN=token, PATH=f"{bin_dir}:{os.environ['PATH']}")
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", blocks[0]], cwd=vault.dir, env=env, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.assertEqual((vault.dir / "clip.mp4").read_bytes(), CLIP.read_bytes())
            self.assertEqual((vault.dir / "head.bin").read_bytes(), CLIP.read_bytes()[:100])
            self.assertIn('"session"', (vault.dir / "session.json").read_text())
            self.assertRegex(done.stdout, rf"(?i)upload-offset: {CLIP.stat().st_size}\b")
            clips = vault.request("GET", "/v1/clips", token).json["clips"]
            self.assertEqual(len(clips), 2)

    def test_what_it_names_is_there(self):
        for path in re.findall(r"\]\(([^)#:]+)\)", README):
            self.assertTrue((TOP / path).exists(), path)

    def test_the_flags_and_commands_are_there(self):
        def help_of(*command):
            return subprocess.run([os.environ["DASHVAULT_BIN"], *command, "--help"], capture_output=True, text=True, check=True).stdout
        serve = help_of("serve")
        for flag in set(re.findall(r"^\| `(--[a-z-]+)", README, re.M)):
            self.assertIn(flag, serve)
        for line in re.findall(r"^    dashvault ([a-z ]+?) --", README, re.M):
            help_of(*line.split())


if __name__ == "__main__":
    unittest.main()
