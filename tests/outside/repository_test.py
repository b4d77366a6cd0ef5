"""What the repository itself must not hold: secrets, now or ever before; hosts of package registries in the lock files;
fixtures that are too large or whose licence nobody wrote down."""

import io
import pathlib
import re
import subprocess
import tarfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
FIXTURES_BYTES = 8 * 1024 * 1024
# One is added at each release.
FROZEN_FOLDER_BYTES = 2 * 1024 * 1024
# Keyrings, tokens and vehicles' keys of vaults that held nothing but fixtures (tests/fixtures/data-folders/README.md).
THROWN_AWAY = {
    "tests/fixtures/data-folders/0.1.0.tar.gz",
    "tests/fixtures/data-folders/0.1.0.json",
    # Frozen tokens of each kind; no vault ever issued them.
    "keys/tests/vectors/records-v1.json",
}
# What a keyring file and its backup begin with, put together here as the samples below are.
KEYRINGS = (b"DC" + b"VR\x01\0\0\0", b"DC" + b"VB\x01")
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


def holds_keyring(content):
    """Whether a file is a keyring or an archive with one in it."""
    if content[:2] == b"\x1f\x8b":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return any(holds_keyring(archive.extractfile(entry).read()) for entry in archive if entry.isfile())
    return content.startswith(KEYRINGS)


class Repository(unittest.TestCase):
    def test_a_planted_keyring_is_found_in_a_file_and_in_an_archive(self):
        keyring, packed = KEYRINGS[0] + b"x" * 90, io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            entry = tarfile.TarInfo("data/keyring")
            entry.size = len(keyring)
            archive.addfile(entry, io.BytesIO(keyring))
        self.assertTrue(holds_keyring(keyring))
        self.assertTrue(holds_keyring(packed.getvalue()))
        self.assertFalse(holds_keyring(b"no keyring at all"))

    def test_no_keyring_is_here_but_those_of_vaults_thrown_away(self):
        files = [f for f in git("ls-files", "-z").split("\0") if f and (TOP / f).is_file()]
        found = {f for f in files if holds_keyring((TOP / f).read_bytes())}
        self.assertEqual(found - THROWN_AWAY, set())
        self.assertEqual({f for f in THROWN_AWAY if f.endswith(".tar.gz")} - found, set(), "a known one is gone")

    def test_no_token_or_vehicle_key_is_here_but_those_of_vaults_thrown_away(self):
        tokens = re.compile(r"\bdv[ow]_[a-z2-7]{52}\b|\"private_key\": *\"M[A-Za-z0-9_-]{60,}\"")
        self.assertTrue(tokens.search("dvo" + "_" + "a2" * 26))
        self.assertTrue(tokens.search("\"private" + "_key\": \"M" + "F" * 70 + "\""))
        files = [f for f in git("ls-files", "-z").split("\0") if f and (TOP / f).is_file()]
        found = {f for f in files if tokens.search((TOP / f).read_text(errors="replace"))}
        self.assertEqual(found - THROWN_AWAY, set())

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
        frozen = [f for f in files if f.parent.name == "data-folders"]
        self.assertEqual([str(f) for f in frozen if f.stat().st_size >= FROZEN_FOLDER_BYTES], [])
        self.assertLess(sum(f.stat().st_size for f in files if f not in frozen), FIXTURES_BYTES)
        told = (folder / "README.md").read_text() + (folder / "data-folders" / "README.md").read_text()
        self.assertEqual([str(f) for f in files if f.relative_to(folder).as_posix() not in told], [])


if __name__ == "__main__":
    unittest.main()
