"""No key, token or password lies in the repository, in any file, archive, earlier version or message. The scan is shown to find
each kind, planted in the tree and planted in the history alone, so that a scan that stopped looking cannot pass."""

import gzip
import io
import pathlib
import subprocess
import tarfile
import tempfile
import time
import unittest
import zipfile

import secret_scan
from secret_scan import COMPILED, RANDOM, RULES, scan, scan_history, scan_tree

TOP = pathlib.Path(__file__).resolve().parents[2]
# Both scans take 3 s on two busy cores; beyond this they would be left out of `make test` one day.
LIMIT_SECONDS = 10
# Reviewed: the file, the rule, and why it is no secret of anybody. A new line needs the same three.
FROZEN = "frozen sample of a record that no vault ever issued"
THROWN_AWAY = "of a vault that held nothing but fixtures and was thrown away (data-folders/README.md)"
ALLOWED = [
    ("keys/tests/vectors/keyring-v2.json", "a keyring in text", FROZEN),
    ("keys/tests/vectors/records-v1.json", "a keyring in text", FROZEN),
    ("keys/tests/vectors/records-v1.json", "an owner's or a link's secret", FROZEN),
    ("keys/tests/vectors/records-v1.json", "a vehicle's token", FROZEN),
    ("keys/tests/vectors/records-v1.json", "a link's token", FROZEN),
    ("keys/tests/vectors/records-v1.json", RANDOM, FROZEN),
    ("keys/tests/vectors/system-v2.json", "a keyring in text", FROZEN),
    ("tests/fixtures/data-folders/*.json", "an owner's or a link's secret", THROWN_AWAY),
    ("tests/fixtures/data-folders/*.json", "a link's token", THROWN_AWAY),
    ("tests/fixtures/data-folders/*.json", "a vehicle's key", THROWN_AWAY),
    ("tests/fixtures/data-folders/*.json", RANDOM, THROWN_AWAY),
    ("tests/fixtures/data-folders/*.tar.gz", "a keyring", THROWN_AWAY),
    ("src/app/config/defaults.rs", "a password in an address", "an address without a server, which its test hands to the parser"),
]
SAMPLES = {name: sample if isinstance(sample, bytes) else sample.encode() for name, (_, sample) in RULES.items()}
RANDOM_SAMPLES = [
    b"S3_SECRET_ACCESS" + b"_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYzk3Qh2ZtQ8Lm\n",
    b"  root" + b"_key: 8f3a61c09be2d47750a1f9e8c3b6d2147a5508ee91fc3b2a\n",
    b"const SIGNING" + b"_SEED: &str = \"Zk3Qh2ZtQ8LmwJalrXUtnFEMIK7MDENG\";\n",
    b"{\"client" + b"_secret\": \"Zk3Qh2ZtQ8LmwJalrXUtnFEMIK7MDENG\"}\n",
]


def rules(found):
    return {one.rule for one in found}


class Secrets(unittest.TestCase):
    def test_each_rule_finds_its_sample_and_tells_the_place_without_it(self):
        self.assertEqual(set(secret_scan.WORDS), set(COMPILED))
        for name, sample in SAMPLES.items():
            with self.subTest(name):
                # A keyring is known by its first bytes; the others stand in a text.
                content, line = (sample, 1) if name == "a keyring" else (b"one line\nlet key = \"" + sample + b"\";\n", 2)
                found = [one for one in scan("some/file", content) if one.rule == name]
                self.assertEqual([(one.path, one.line) for one in found], [("some/file", line)])
                self.assertNotIn(sample.decode()[:16], repr(found))

    def test_a_random_value_under_a_secrets_name_is_found_and_a_word_is_not(self):
        for sample in RANDOM_SAMPLES:
            with self.subTest(sample[:16]):
                self.assertEqual(rules(scan("f", sample)), {RANDOM})
        for innocent in (
            b"let token = parse_device_token_of_version_2(text);\n", b"POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?}\n",
            b"password_file = \"/run/secrets/PostgresPassword1\"\n", b"token: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'\n",
            b"secret: \"00000000000000000000000000000000\"\n", b"S3_SECRET_ACCESS_KEY=\nother=1\n",
        ):
            with self.subTest(innocent):
                self.assertEqual(scan("f", innocent), [])

    def test_a_secret_in_an_archive_is_found(self):
        keyring, packed, zipped = SAMPLES["a keyring"], io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            entry = tarfile.TarInfo("data/keyring")
            entry.size = len(keyring)
            archive.addfile(entry, io.BytesIO(keyring))
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("data/keyring", keyring)
        for content in (packed.getvalue(), zipped.getvalue(), gzip.compress(keyring)):
            self.assertEqual(rules(scan("backup", content)), {"a keyring"})
        self.assertEqual(scan("backup", gzip.compress(b"no keyring at all")), [])
        self.assertEqual(scan("cut", packed.getvalue()[:40]), [], "a cut archive ends no scan")

    def test_the_tree_and_its_whole_history_hold_no_secret(self):
        began = time.monotonic()
        files, in_tree = scan_tree(TOP)
        versions, in_history = scan_history(TOP)
        took = time.monotonic() - began
        self.assertGreater(len(files), 20)
        self.assertGreater(versions, len(files), "the history is not here: fetch it whole")
        left, _ = secret_scan.not_allowed(in_tree + in_history, ALLOWED)
        self.assertEqual(left, [])
        _, unused = secret_scan.not_allowed(in_tree, ALLOWED)
        self.assertEqual(unused, set(), "nothing is there any more that these lines allow")
        self.assertLess(took, LIMIT_SECONDS)

    def test_secrets_planted_in_a_clone_are_found_in_its_tree_and_after_their_removal_in_its_history(self):
        with tempfile.TemporaryDirectory() as folder:
            clone = pathlib.Path(folder) / "clone"

            def git(*arguments):
                quiet = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
                subprocess.run(["git", *quiet, *arguments], cwd=clone, check=True, capture_output=True)

            subprocess.run(["git", "clone", "-q", "--shared", str(TOP), str(clone)], check=True, capture_output=True)
            before, _ = secret_scan.not_allowed(scan_tree(clone)[1], ALLOWED)
            self.assertEqual(before, [])
            planted = {f"docs/planted-{n}.txt": sample for n, sample in enumerate([*SAMPLES.values(), *RANDOM_SAMPLES])}
            for name, sample in planted.items():
                (clone / name).write_bytes(sample)
            seen, _ = secret_scan.not_allowed(scan_tree(clone)[1], ALLOWED)
            self.assertEqual({one.path for one in seen}, set(planted), "not added yet, and seen")
            git("add", "-A")
            git("commit", "-q", "-m", "Add notes")
            git("rm", "-q", *planted)
            git("commit", "-q", "-m", "Remove notes")
            git("commit", "-q", "--allow-empty", "-m", "Rotate " + SAMPLES["an AWS access key"].decode())
            gone, _ = secret_scan.not_allowed(scan_tree(clone)[1], ALLOWED)
            self.assertEqual(gone, [], "the tree is clean again")
            found, _ = secret_scan.not_allowed(scan_history(clone)[1], ALLOWED)
            self.assertEqual({one.path for one in found if not one.path.startswith("commit ")}, set(planted))
            self.assertEqual([one.rule for one in found if one.path.startswith("commit ")], ["an AWS access key"])


if __name__ == "__main__":
    unittest.main()
