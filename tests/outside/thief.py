"""A thief: has a bucket's files and perhaps a dump of the database, no key and no credential, and tells what they give away.

    thief.py --bucket DIR [--dump FILE ...] --planted FILE.json

The JSON file holds what to look for: {"words": {label: text}, "places": {label: degrees}, "times": {label: unix_ms}}.
Prints one finding a line and exits with 1 when there is one.
"""

import argparse
import base64
import datetime
import json
import math
import pathlib
import struct
import sys
from collections import defaultdict

BOX_CODES = [b"ftyp", b"moov", b"moof", b"mdat", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"avcC", b"hvc1",
             b"mvhd", b"tkhd", b"mdhd", b"udta", b"sidx", b"mfra", b"traf", b"trun", b"tfdt", b"mp4a", b"esds"]
# Every sealed object begins with the same eight bytes: magic, version, suite, segment size, flags.
COMMON_START = 8
GRAM = 8
# What is read closely of each object; the middle is sampled in aligned blocks.
EDGE_BYTES = 4096
BLOCK = 16
# A name's first letters in common: 32^8 names lie between two random ones.
NAME_LETTERS = 8
# So rare a count is not chance.
RARE = 1e-9


def forms(text):
    """The ways a word may lie in a file."""
    out = set()
    for word in {text, text.lower(), text.upper()}:
        raw = word.encode()
        out |= {raw, word.encode("utf-16-le"), word.encode("utf-16-be"), raw.hex().encode(), raw.hex().upper().encode(), raw[::-1]}
        for shift in range(3):
            # The letters of base64 that depend on this word alone, whatever stands before and after it.
            coded = base64.b64encode(b"\0" * shift + raw)
            out.add(coded[4 if shift else 0:len(coded) // 4 * 4 - 4])
    return {f for f in out if len(f) >= 5}


def place_forms(degrees):
    """A coordinate as text, as NMEA's degrees and minutes, and as a binary double."""
    whole = int(abs(degrees))
    minutes = (abs(degrees) - whole) * 60
    out = {f"{abs(degrees):.{n}f}".encode() for n in (4, 5, 6)}
    out |= {f"{whole:02d}{minutes:07.4f}".encode(), f"{whole:03d}{minutes:07.4f}".encode()}
    for value in (degrees, abs(degrees)):
        out |= {struct.pack("<d", value), struct.pack(">d", value)}
    return out | {f.hex().encode() for f in out}


def time_forms(ms):
    """A moment as text, in seconds and milliseconds, in decimal and binary."""
    at = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    texts = {at.strftime(f) for f in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y:%m:%d %H:%M:%S")}
    texts |= {str(ms), str(ms // 1000)}
    out = {t.encode() for t in texts}
    # SQLite keeps an integer of this size in six bytes.
    out |= {struct.pack("<q", ms), struct.pack(">q", ms), struct.pack(">q", ms)[2:]}
    return out | {f.hex().encode() for f in out}


def planted_words(planted):
    needles = defaultdict(set)
    for label, text in planted.get("words", {}).items():
        needles[label] |= forms(text)
    for label, degrees in planted.get("places", {}).items():
        needles[label] |= place_forms(degrees)
    for label, ms in planted.get("times", {}).items():
        needles[label] |= time_forms(ms)
    return needles


def words_in(name, content, needles):
    return [f"{label} lies in {name}" for label, some in needles.items() if any(needle in content for needle in some)]


def at_least(count, mean):
    """The chance that a Poisson count of this mean reaches `count`."""
    if count == 0:
        return 1.0
    below, term = 0.0, math.exp(-mean)
    for k in range(count):
        below += term
        term *= mean / (k + 1)
    return max(0.0, 1.0 - below)


def boxes_in(contents):
    """Box codes of MP4 files, more often than chance lets them occur in so many bytes."""
    total = sum(map(len, contents.values()))
    mean = total / 2**32
    counts = {code: sum(content.count(code) for content in contents.values()) for code in BOX_CODES}
    found = [f"the box code {code.decode()} occurs {n} times in {total} bytes" for code, n in counts.items()
             if n and at_least(n, mean) < RARE]
    every = sum(counts.values())
    if every and at_least(every, mean * len(BOX_CODES)) < RARE:
        found.append(f"box codes occur {every} times in {total} bytes; chance gives {mean * len(BOX_CODES):.3f}")
    found += [f"{name} begins like an MP4 file" for name, content in contents.items() if content[4:8] in BOX_CODES]
    return found


def grams(content):
    """Runs of bytes by which two objects could be tied together."""
    edges = [(0, content[:EDGE_BYTES]), (max(EDGE_BYTES, len(content) - EDGE_BYTES), content[max(EDGE_BYTES, len(content) - EDGE_BYTES):])]
    seen = set()
    for start, part in edges:
        for at in range(len(part) - GRAM + 1):
            # A run that begins in the common start shows everybody's bytes.
            if start + at >= COMMON_START:
                seen.add(part[at:at + GRAM])
    for at in range(EDGE_BYTES, len(content) - EDGE_BYTES, BLOCK):
        seen.add(content[at:at + BLOCK])
    return seen


def ties(contents):
    """Pairs of objects that their names or their bytes tie together."""
    found, owner_of = [], {}
    names = sorted(pathlib.PurePosixPath(name).name for name in contents)
    for a, b in zip(names, names[1:]):
        if a[:NAME_LETTERS] == b[:NAME_LETTERS]:
            found.append(f"the names {a} and {b} begin alike")
    for name, content in contents.items():
        for gram in grams(content):
            other = owner_of.setdefault(gram, name)
            if other != name:
                found.append(f"{other} and {name} share the bytes {gram.hex()}")
                break
    return found


def records(plane):
    """The records in the objects of a key plane, by name. Of several revisions of one record the last: the others tie it to
    itself alone, until they are swept."""
    newest = {}
    for name, content in plane.items():
        count, at = int.from_bytes(content[6:8], "big"), 40
        for n in range(count):
            length = int.from_bytes(content[at:at + 4], "big")
            record, at = content[at + 4:at + 4 + length], at + 4 + length
            # Where the revision stands, behind the id that it is a revision of.
            revision = {b"DCVE": 24, b"DCVK": 28}.get(record[:4], 8)
            key = record[:4], record[8:24] if record[:4] in (b"DCVE", b"DCVK") else f"{name} {n}"
            found = int.from_bytes(record[revision:revision + 4], "big"), f"{name} {n}", record
            newest[key] = max(newest.get(key, found), found)
    return {name: record for _, name, record in newest.values()}


def ties_of_records(records):
    """Runs of bytes that some records of a key plane share and others of their kind do not."""
    found, owner_of, kinds = [], {}, defaultdict(list)
    runs = {name: {record[at:at + GRAM] for at in range(COMMON_START, len(record) - GRAM + 1)} for name, record in records.items()}
    for name, record in records.items():
        kinds[record[:4]].append(runs[name])
    for name, record in records.items():
        of_kind = kinds[record[:4]]
        common = set.intersection(*of_kind) if len(of_kind) > 1 else set()
        for run in runs[name] - common:
            other = owner_of.setdefault(run, name)
            if other != name:
                found.append(f"the records {other} and {name} share the bytes {run.hex()}")
                break
    return found


def look_into_key_plane(plane, planted):
    """All findings about a key plane's folder."""
    needles = planted_words(planted)
    found = [finding for name, content in plane.items() for finding in words_in(name, content, needles)]
    return found + boxes_in(plane) + ties_of_records(records(plane))


def look(bucket, dumps, planted):
    """All findings. `bucket`: name to bytes; `dumps`: the same for what was taken of the database."""
    needles = planted_words(planted)
    found = []
    for name, content in {**bucket, **dumps}.items():
        found += words_in(name, content, needles)
        found += words_in("the name " + name, name.encode(), needles)
    return found + boxes_in(bucket) + ties(bucket)


def files(folder):
    folder = pathlib.Path(folder)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bucket", required=True)
    asked.add_argument("--dump", action="append", default=[])
    asked.add_argument("--planted", required=True)
    told = asked.parse_args()
    bucket = files(told.bucket)
    if not bucket:
        sys.exit("the bucket is empty: nothing was looked at")
    found = look(bucket, {d: pathlib.Path(d).read_bytes() for d in told.dump}, json.loads(pathlib.Path(told.planted).read_text()))
    print("\n".join(found) or f"nothing found in {len(bucket)} objects, {sum(map(len, bucket.values()))} bytes")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
