"""Google's Tink and the key crate read each other's objects; bare Tink opens a ciphertext under two keys, which is why an
object carries a commitment. The derivations are written here once more, from keys/FORMAT.md, with Python's own HMAC."""

import hashlib
import hmac
import io
import json
import os
import pathlib
import secrets
import subprocess
import tempfile
import unittest

import tink
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

TOP = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("CACHE") or pathlib.Path.home() / ".cache" / "dashvault")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
PEER = TARGET / "debug" / "examples" / "tink_peer"
VECTORS = TOP / "keys" / "tests" / "vectors"
AAD = b"dcv1/tink"
REFUSED = 3

streaming_aead.register()


def hkdf(ikm, salt, info):
    """HKDF-SHA256 to 32 bytes (RFC 5869): one block of expansion."""
    pseudo_random_key = hmac.new(salt, ikm, hashlib.sha256).digest()
    return hmac.new(pseudo_random_key, info + b"\x01", hashlib.sha256).digest()


def lp(*fields):
    return b"".join(len(field).to_bytes(2, "big") + field for field in fields)


class Place:
    """Where an object belongs, and its DEK."""

    def __init__(self, kind=1, rendition="original", log2_segment=16):
        self.dek, self.system = secrets.token_bytes(32), b"a tenant"
        self.owner, self.clip, self.object_id = (secrets.token_bytes(16) for _ in range(3))
        self.kind, self.rendition, self.log2_segment = kind, rendition, log2_segment

    def head(self, salt):
        return b"DCVO" + bytes([1, 1, self.log2_segment, 0]) + self.object_id + salt

    def keys(self, salt):
        """The Tink key and the commitment."""
        place = lp(self.system, self.head(salt), self.owner, self.clip, bytes([self.kind]), self.rendition.encode())
        context = hashlib.sha256(b"dcv1/octx\0" + place).digest()
        object_key = hkdf(self.dek, salt, b"dcv1/obj/root\0" + context)
        return hkdf(object_key, salt, b"dcv1/obj/key"), hkdf(object_key, salt, b"dcv1/obj/commit")

    def wish(self, **more):
        return json.dumps({
            "dek": self.dek.hex(), "system": self.system.hex(), "owner": self.owner.hex(), "clip": self.clip.hex(),
            "object_id": self.object_id.hex(), "kind": self.kind, "rendition": self.rendition,
            "log2_segment": self.log2_segment, **more})


def tink_primitive(key, segment_bytes):
    """Tink's own streaming cipher for a key that we derived."""
    made = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key)
    made.params.ciphertext_segment_size = segment_bytes
    made.params.derived_key_size = 32
    made.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = made.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


def tink_opens(key, segment_bytes, ciphertext):
    with tink_primitive(key, segment_bytes).new_decrypting_stream(io.BytesIO(ciphertext), AAD) as stream:
        return stream.read()


def tink_seals(key, segment_bytes, plaintext):
    sink = io.BytesIO()
    sink.close = lambda: None  # Tink closes what it wrote to.
    with tink_primitive(key, segment_bytes).new_encrypting_stream(sink, AAD) as stream:
        stream.write(plaintext)
    return sink.getvalue()


def lengths(log2_segment):
    first = (1 << log2_segment) - 56
    return [0, 1, first - 1, first, first + 1, first + first + 40, 3 * first + 12345]


class Tink(unittest.TestCase):
    def setUp(self):
        self.assertTrue(PEER.is_file(), f"{PEER} is made by cargo build --all-targets")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.plain, self.object = pathlib.Path(folder.name, "plain"), pathlib.Path(folder.name, "object")

    def peer(self, command, wish, code=0):
        done = subprocess.run([PEER, command, self.plain, self.object], input=wish, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def test_tink_opens_what_we_wrote(self):
        for log2_segment in (16, 18, 20):
            for kind in (1, 6):
                for length in lengths(log2_segment):
                    with self.subTest(log2_segment=log2_segment, kind=kind, length=length):
                        place = Place(kind, log2_segment=log2_segment)
                        plain = secrets.token_bytes(length)
                        self.plain.write_bytes(plain)
                        told = self.peer("seal", place.wish())
                        written = self.object.read_bytes()
                        salt = written[24:56]
                        key, commitment = place.keys(salt)
                        self.assertEqual(written[:56], place.head(salt))
                        self.assertEqual(written[56:88], commitment)
                        self.assertEqual(told["commitment"], commitment.hex())
                        self.assertEqual(told["size"], len(written))
                        opened = tink_opens(key, 1 << log2_segment, written[88:])
                        self.assertEqual(len(opened), told["padded_length"])
                        self.assertEqual(opened, plain.ljust(told["padded_length"], b"\0"))

    def test_we_open_what_tink_wrote(self):
        for log2_segment in (16, 18, 20):
            for length in lengths(log2_segment):
                with self.subTest(log2_segment=log2_segment, length=length):
                    place, salt, plain = Place(6, "p0", log2_segment), secrets.token_bytes(32), secrets.token_bytes(length)
                    key, commitment = place.keys(salt)
                    body = tink_seals(key, 1 << log2_segment, plain)
                    self.object.write_bytes(place.head(salt) + commitment + body)
                    self.peer("open", place.wish(padded_length=length, commitment=commitment.hex()))
                    self.assertEqual(self.plain.read_bytes(), plain)

    def test_we_refuse_what_tink_wrote_under_another_commitment_or_cut(self):
        place, salt, plain = Place(6, "p0"), secrets.token_bytes(32), secrets.token_bytes(200_000)
        key, commitment = place.keys(salt)
        body = tink_seals(key, 1 << 16, plain)
        whole = place.head(salt) + commitment + body
        wrong = secrets.token_bytes(32)
        for written, pinned in [
            (place.head(salt) + wrong + body, wrong),
            (place.head(salt) + wrong + body, commitment),
            (whole, wrong),
            (whole[:-1], commitment),
            (whole[:88 + (1 << 16)], commitment),
            (whole[:-1] + bytes([whole[-1] ^ 1]), commitment),
        ]:
            self.object.write_bytes(written)
            self.peer("open", place.wish(padded_length=len(plain), commitment=pinned.hex()), REFUSED)
            self.assertFalse(self.plain.exists())

    def test_tink_opens_the_known_answers(self):
        cases = json.loads((VECTORS / "object-v1.json").read_text())["cases"]
        self.assertGreaterEqual(len(cases), 14)
        for case in cases:
            with self.subTest(case["name"]):
                plain = bytes((7 * i + 3) % 256 for i in range(case["length"])).ljust(case["padded_length"], b"\0")
                self.plain.write_bytes(plain[:case["length"]])
                place = Place(case["kind"], case["rendition"], case["log2_segment"])
                place.dek, place.system = bytes.fromhex(case["dek"]), case["system"].encode()
                place.owner, place.clip, place.object_id = (bytes.fromhex(case[n]) for n in ("owner", "clip", "object_id"))
                key, commitment = place.keys(bytes.fromhex(case["salt"]))
                self.assertEqual((key.hex(), commitment.hex()), (case["tink_key"], case["commitment"]))
                self.peer("seal", place.wish())
                written = self.object.read_bytes()
                key, _ = place.keys(written[24:56])
                self.assertEqual(tink_opens(key, 1 << case["log2_segment"], written[88:]), plain)

    def test_bare_tink_opens_one_ciphertext_under_two_keys(self):
        frozen = json.loads((VECTORS / "two-keys-v1.json").read_text())
        self.assertEqual(frozen["associated_data"].encode(), AAD)
        ciphertext = bytes.fromhex(frozen["ciphertext"])
        texts = [tink_opens(bytes.fromhex(key), 1 << 16, ciphertext) for key in frozen["keys"]]
        self.assertEqual([len(text) for text in texts], [32, 32])
        self.assertNotEqual(*texts)
        with self.assertRaises(Exception):
            tink_opens(secrets.token_bytes(32), 1 << 16, ciphertext)


if __name__ == "__main__":
    unittest.main()
