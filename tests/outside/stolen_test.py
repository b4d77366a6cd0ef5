"""What a thief of the bucket, and of the bucket and the database, learns: nothing that was planted, no MP4, no two objects
that belong together. The thief is shown to find what is not sealed."""

import base64
import datetime
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import thief
from vault import CLIP, Vault

RECORDED_MS = 1_710_505_815_123
PLANTED = {
    "words": {
        "the e-mail address": "henrietta.quist@planted.example",
        "the other e-mail address": "oswald.brimley@planted.example",
        "the VIN": "WVWZZZ1KZAW987654",
        "the plate": "M-QX 7731",
        "the device label": "Grandmother's wagon",
        "the recipient": "claims.desk@planted-insurer.example",
        "the file name": "20240315_123015_front_quist.mp4",
    },
    "places": {"the latitude": 48.187031, "the longitude": 11.553721},
    "times": {"the recording time": RECORDED_MS},
}
WORDS = PLANTED["words"]


class Stolen(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vault = vault = cls.enterClassContext(Vault())
        named = vault.dir / WORDS["the file name"]
        shutil.copy(CLIP, named)
        recorded = datetime.datetime.fromtimestamp(RECORDED_MS / 1000, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for email in ("the e-mail address", "the other e-mail address"):
            token = vault.owner(WORDS[email])
            made = vault.request("POST", "/v1/devices/pairing-codes", token,
                                 {"label": WORDS["the device label"], "vin": WORDS["the VIN"], "plate": WORDS["the plate"]})
            assert made.status in (200, 201), made.body
            device = vault.dir / f"{len(email)}.json"
            vault.run("device", "pair", "--server", vault.url, "--code", made.json["code"], "--out", device)
            clip = vault.settled(token, vault.upload(device, named)["clip_id"])["id"]
            vault.settled(token, cls.upload_with_place(token, named, recorded))
            link = vault.request("POST", f"/v1/clips/{clip}/links", token, {
                "recipient": WORDS["the recipient"], "expires_in_s": 3600, "from_ms": 1000, "to_ms": 4000,
                "audio": False, "location": False, "download": False, "max_opens": 5})
            assert link.status in (200, 201), link.body
            opened = vault.request("POST", "/v1/links/redeem", None, {"token": link.json["url"].split("#")[1]}).json
            vault.until(lambda opened=opened: vault.request("GET", "/v1/shared", opened["session"]).json["media"]["state"] == "ready")
        # At rest: what a thief takes of a database is what it has written.
        vault.end()
        cls.bucket = thief.files(vault.data / "objects")
        cls.plane = thief.files(vault.data / "keyplane")
        cls.database = vault.data / "catalogue" / "vault.db"

    @classmethod
    def upload_with_place(cls, token, file, recorded):
        about = {"filename": file.name, "recorded_at": recorded, "lat": str(PLANTED["places"]["the latitude"]),
                 "lon": str(PLANTED["places"]["the longitude"])}
        coded = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in about.items())
        made = cls.vault.request("POST", "/v1/uploads", token, Tus_Resumable="1.0.0", Upload_Length=str(file.stat().st_size), Upload_Metadata=coded)
        assert made.status == 201, made.body
        sent = cls.vault.send("PATCH", made.headers["Location"], token, file.read_bytes(), Tus_Resumable="1.0.0",
                              Upload_Offset="0", Content_Type="application/offset+octet-stream")
        assert sent.status == 204, sent.body
        return made.headers["Location"].rsplit("/", 1)[1]

    def dumps(self, database):
        dump = subprocess.run(["sqlite3", database, ".dump"], capture_output=True, check=True).stdout
        self.assertGreater(dump.count(b"INSERT INTO"), 30)
        raw = {p.name: p.read_bytes() for p in pathlib.Path(database).parent.iterdir()}
        return {"the dump": dump, **raw}

    def test_the_bucket_gives_nothing_away(self):
        # Two owners with two clips and a link each: originals, renditions, indexes, posters.
        self.assertGreater(len(self.bucket), 20)
        self.assertEqual(thief.look(self.bucket, {}, PLANTED), [])

    def test_the_bucket_and_the_database_give_nothing_away(self):
        self.assertEqual(thief.look(self.bucket, self.dumps(self.database), PLANTED), [])

    def test_the_key_plane_gives_nothing_away_and_ties_nothing_together(self):
        records = thief.records(self.plane)
        kinds = [record[:4] for record in records.values()]
        # Two owners with a vehicle and two clips each, and the system record.
        self.assertEqual((kinds.count(b"DCVK"), kinds.count(b"DCVE"), kinds.count(b"DCVS")), (2, 4, 1))
        self.assertEqual(thief.look_into_key_plane(self.plane, PLANTED), [])

    def test_the_thief_finds_what_ties_two_envelopes_together(self):
        plane = dict(self.plane)
        first, second = [name.split()[0] for name, record in thief.records(plane).items() if record[:4] == b"DCVE"][:2]
        # As though the locator were sealed under a salt that does not change.
        tied = bytearray(plane[second])
        tied[144:176] = plane[first][144:176]
        plane[second] = bytes(tied)
        self.assertTrue(any("share the bytes" in f for f in thief.look_into_key_plane(plane, PLANTED)))
        plane = {**self.plane, "ab/abplain": self.plane[first] + WORDS["the VIN"].encode()}
        self.assertIn("the VIN lies in ab/abplain", thief.look_into_key_plane(plane, PLANTED))

    def test_staging_is_empty_once_all_is_published(self):
        self.assertEqual(list(thief.files(self.vault.data / "staging")), [])

    def test_no_size_belongs_to_one_owner_alone(self):
        rows = subprocess.run(["sqlite3", self.database, "SELECT hex(c.owner_id), o.size_bytes FROM objects o JOIN clips c ON c.id = o.clip_id"],
                              capture_output=True, text=True, check=True).stdout.split()
        owners, times = {}, {}
        for owner, size in (row.split("|") for row in rows):
            owners.setdefault(size, set()).add(owner)
            times[size] = times.get(size, 0) + 1
        self.assertEqual(sum(times.values()), len(self.bucket))
        self.assertEqual({size for size, count in times.items() if count > 1 and len(owners[size]) < 2}, set())

    def test_the_thief_finds_an_unsealed_object(self):
        plain = {**self.bucket, "ab/abplain": CLIP.read_bytes()}
        found = thief.look(plain, {}, PLANTED)
        self.assertTrue(any("begins like an MP4" in f for f in found), found)
        self.assertTrue(any(f.startswith("box codes occur") for f in found), found)

    def test_the_thief_finds_each_planted_word(self):
        for label, word in WORDS.items():
            for form in (word.encode(), word.encode().hex().encode(), word.encode("utf-16-le")):
                with self.subTest(label):
                    self.assertIn(f"{label} lies in x", thief.look({"x": b"\0" * 99 + form + b"\0" * 99}, {}, PLANTED))

    def test_the_thief_finds_objects_that_share_bytes_or_names(self):
        name, content = next(iter(self.bucket.items()))
        other = bytearray(self.bucket[list(self.bucket)[1]])
        other[24:56] = content[24:56]
        self.assertTrue(any("share the bytes" in f for f in thief.look({name: content, "zz/zzother": bytes(other)}, {}, PLANTED)))
        letters = pathlib.PurePosixPath(name).name[:10]
        self.assertTrue(any("begin alike" in f for f in thief.look({name: content, f"zz/{letters}aaaa": b"1" * 99}, {}, PLANTED)))

    def test_the_thief_finds_an_unsealed_column(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "vault.db"
            shutil.copy(self.database, copy)
            for column, value, label in (
                ("devices SET sealed_about", f"CAST('{{\"vin\":\"{WORDS['the VIN']}\"}}' AS BLOB)", "the VIN"),
                ("clips SET created_at", str(RECORDED_MS), "the recording time"),
                ("links SET sealed_about", f"CAST('{WORDS['the recipient']}' AS BLOB)", "the recipient"),
            ):
                subprocess.run(["sqlite3", copy, f"UPDATE {column} = {value}"], check=True)
                found = thief.look({}, self.dumps(copy), PLANTED)
                self.assertTrue(any(f.startswith(label) for f in found), (label, found))


if __name__ == "__main__":
    unittest.main()
