"""What the repository itself must not hold: secrets, now or ever before; hosts of package registries in the lock files;
fixtures that are too large or whose licence nobody wrote down."""

import pathlib
import re
import subprocess
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
FIXTURES_BYTES = 8 * 1024 * 1024
# Each rule with a sample that it must find. The samples are put together here, so that this file holds none.
RULES = {
    # A header that its quotes close at once, as a test of a parser has it, holds no key.
    "a private key": (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?!\")", "-----BEGIN " + "PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIA"),
    "an AWS access key": (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "AKIA" + "Q3EGVXDNA7TLZ4WB"),
    "a GitHub token": (r"\bgh[pousr]_[A-Za-z0-9]{36}\b", "ghp" + "_" + "a1B2" * 9),
    "a password in an address": (r"\b[a-z]{2,12}://[^\s:/@{}$<>\"'`]+:(?!password@|secret@|private-to-this-test@)[^\s:/@{}$<>\"'`]{6,}@", "postgres://vault:" + "hunter22hunter@db"),
}


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, check=True).stdout.decode(errors="replace")


def secrets(text):
    """The rules that a text breaks, each with the place, never with the secret."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) < 20_000:
            found += [(number, name) for name, (rule, _) in RULES.items() if re.search(rule, line)]
    return found


class Repository(unittest.TestCase):
    def test_each_rule_finds_a_planted_secret(self):
        for name, (_, sample) in RULES.items():
            with self.subTest(name):
                self.assertEqual(secrets(f"one line\nlet key = \"{sample}\";\n"), [(2, name)])

    def test_no_file_holds_a_secret(self):
        files = git("ls-files", "-z").split("\0")
        self.assertGreater(len(files), 20)
        found = {f: s for f in files if f and (TOP / f).is_file() and (s := secrets((TOP / f).read_text(errors="replace")))}
        self.assertEqual(found, {})

    def test_no_earlier_version_held_one(self):
        added = [line for line in git("log", "-p", "--unified=0", "--no-color", "HEAD").splitlines() if line.startswith("+")]
        self.assertGreater(len(added), 100)
        self.assertEqual(secrets("\n".join(added)), [])

    def test_lock_files_name_no_registry(self):
        for lock in git("ls-files", "*package-lock.json").split():
            with self.subTest(lock):
                self.assertNotIn('"resolved"', (TOP / lock).read_text())

    def test_fixtures_are_small_and_their_licences_written_down(self):
        folder = TOP / "tests" / "fixtures"
        files = [TOP / f for f in git("ls-files", "tests/fixtures").split("\n") if f and not f.endswith("README.md")]
        self.assertTrue(files)
        self.assertLess(sum(f.stat().st_size for f in files), FIXTURES_BYTES)
        told = (folder / "README.md").read_text()
        self.assertEqual([str(f) for f in files if f.relative_to(folder).as_posix() not in told], [])


if __name__ == "__main__":
    unittest.main()
