"""What the repository itself must not hold: hosts of package registries in the lock files; fixtures that are too large or
whose licence nobody wrote down. Secrets have a test of their own, secrets_test.py."""

import pathlib
import subprocess
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
FIXTURES_BYTES = 8 * 1024 * 1024
# One is added at each release.
FROZEN_FOLDER_BYTES = 2 * 1024 * 1024


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, check=True).stdout.decode(errors="replace")


class Repository(unittest.TestCase):
    def test_lock_files_name_no_registry(self):
        for lock in git("ls-files", "*package-lock.json").split():
            with self.subTest(lock):
                self.assertNotIn('"resolved"', (TOP / lock).read_text())

    def test_fixtures_are_small_and_their_licences_written_down(self):
        folder = TOP / "tests" / "fixtures"
        files = [TOP / f for f in git("ls-files", "tests/fixtures").split("\n") if f and not f.endswith("README.md")]
        self.assertTrue(files)
        frozen = [f for f in files if f.parent.name == "data-folders"]
        self.assertEqual([str(f) for f in frozen if f.stat().st_size >= FROZEN_FOLDER_BYTES], [])
        self.assertLess(sum(f.stat().st_size for f in files if f not in frozen), FIXTURES_BYTES)
        told = (folder / "README.md").read_text() + (folder / "data-folders" / "README.md").read_text()
        self.assertEqual([str(f) for f in files if f.relative_to(folder).as_posix() not in told], [])


if __name__ == "__main__":
    unittest.main()
