"""The README's examples, run as they stand."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from vault import CLIP, TOP, free_port

README = (TOP / "README.md").read_text()


class Readme(unittest.TestCase):
    def test_the_examples_run_beside_the_demo(self):
        blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.S | re.M)
        self.assertEqual(len(blocks), 1)
        with tempfile.TemporaryDirectory(prefix="dashvault-readme-") as folder:
            folder = pathlib.Path(folder)
            port, admin_port = free_port(), free_port()
            env = dict(os.environ, DATA=str(folder / "data"), PORT=str(port), ADMIN_PORT=str(admin_port), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
            # The demo ends with its output's reader: it is asked to, and waited for.
            demo = subprocess.Popen(["docs/demo.sh"], cwd=TOP, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                said = []
                for line in demo.stdout:
                    said.append(line)
                    if "keeps serving" in line:
                        break
                self.assertIn("keeps serving", said[-1], "".join(said))
                lines = blocks[0].replace("http://127.0.0.1:8080", f"http://127.0.0.1:{port}")
                self.assertNotEqual(lines, blocks[0])
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=folder, env=env, capture_output=True, text=True)
            finally:
                demo.terminate()
                demo.stdout.close()
                demo.wait(30)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.assertEqual((folder / "clip.mp4").read_bytes(), CLIP.read_bytes())
            self.assertEqual((folder / "head.bin").read_bytes(), CLIP.read_bytes()[:100])
            self.assertIn('"session"', (folder / "session.json").read_text())
            self.assertRegex(done.stdout, rf"(?i)upload-offset: {CLIP.stat().st_size}\b")
            self.assertEqual(done.stdout.count('"next_cursor"'), 3)

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
