"""The demo, as a newcomer meets it: once, again with what is there, and with its port in use."""

import os
import re
import socket
import subprocess
import tempfile
import unittest

from vault import DIRECT, TOP, free_port


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="dashvault-demo-"))

    def demo(self, port, admin_port):
        env = dict(os.environ, DATA=self.data, PORT=str(port), ADMIN_PORT=str(admin_port))
        return subprocess.run(["docs/demo.sh", "--once"], cwd=TOP, env=env, capture_output=True, text=True, timeout=600)

    def test_a_first_and_a_second_run_and_a_port_in_use(self):
        ports = free_port(), free_port()
        first = self.demo(*ports)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertRegex(first.stdout, rf"http://\S+:{ports[0]}/sign-in#\S+")
        self.assertRegex(first.stdout, rf"http://\S+:{ports[0]}/s/\S+#\S+")
        self.assertIn("Uploading", first.stdout)
        second = self.demo(*ports)
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertNotIn("Uploading", second.stdout)
        links = [re.search(r"\S+/sign-in#\S+", run.stdout)[0] for run in (first, second)]
        self.assertNotEqual(*links)
        # It stopped after printing.
        with self.assertRaises(OSError):
            DIRECT.open(f"http://127.0.0.1:{ports[0]}/livez", timeout=5)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            third = self.demo(taken.getsockname()[1], free_port())
        self.assertNotEqual(third.returncode, 0)
        self.assertIn("is in use", third.stderr)


if __name__ == "__main__":
    unittest.main()
