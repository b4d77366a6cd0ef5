"""Finds keys and credentials in texts, files and archives, and in every version that a git repository ever held. Told are the
rule, the place and the start of the secret's hash, never the secret. Used by secrets_test.py beside it."""

import fnmatch
import gzip
import hashlib
import io
import math
import pathlib
import re
import subprocess
import tarfile
import zipfile
import zlib

# A line of minified code or a clip; whatever is longer than that was written by no person.
LINE_BYTES = 20_000
# Beyond that a file is a clip or a program. An archive is read to this size too, so that none can be a bomb.
FILE_BYTES = 16 * 1024 * 1024
# A file in an archive in an archive; nobody hides a key by mistake deeper than that.
DEPTH = 2
ENTRIES = 5_000
# Random base64 has about 5 bits a character in so short a text, hexadecimal just under 4, words and paths less than 3.9.
BITS_BASE64, BITS_HEX = 4.0, 3.0

# What is wanted of every rule: a sample that it must find, put together so that this file holds none.
RULES = {
    # A header alone, as a test of a parser has it, holds no key: base64 has to follow.
    "a private key": (rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\n|\\r|[\s\"'+,])*(?:(?:Proc-Type|DEK-Info|Version|Comment)[^\n]*\n\s*)*[A-Za-z0-9+/]{16}",
                      "-----BEGIN " + "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA"),
    "an AWS access key": (rb"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b", "AKIA" + "Q3EGVXDNA7TLZ4WB"),
    "a Google API key": (rb"\bAIza[0-9A-Za-z_-]{35}\b", "AIza" + "Sy3kQ9" * 5 + "abcDe"),
    "a Google service account": (rb"\"private_key_id\"\s*:\s*\"[0-9a-f]{40}\"", "\"private" + "_key_id\": \"" + "0a1b2c3d" * 5 + "\""),
    "an Azure storage key": (rb"\bAccountKey=[A-Za-z0-9+/]{80,}={0,2}", "Account" + "Key=" + "aB3+" * 21 + "aB=="),
    "a GitHub token": (rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})\b", "ghp" + "_" + "a1B2" * 9),
    "a GitLab token": (rb"\bgl(?:pat|dt|rt|cbt)-[A-Za-z0-9_-]{20,}", "glpat" + "-" + "a1B2c" * 4),
    "a package registry's token": (rb"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{40,}|cio[A-Za-z0-9]{32})\b", "npm" + "_" + "a1B2" * 9),
    "a chat or payment token": (rb"\b(?:xox[abprs]-[A-Za-z0-9-]{20,}|[rs]k_live_[A-Za-z0-9]{20,})", "xoxb" + "-1234567890-abcdefghij"),
    "an age identity": (rb"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b", "AGE-SECRET" + "-KEY-1" + "Q0" * 29),
    "a signed web token": (rb"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}", "eyJ" + "hbGciOi" * 3 + ".eyJ" + "zdWIiOi" * 3 + "." + "a1B2" * 10),
    "a password in an address": (rb"\b[a-z]{2,12}://[^\s:/@{}$<>\"'`]+:(?!password@|secret@|private-to-this-test@)[^\s:/@{}$<>\"'`]{6,}@", "postgres://vault:" + "hunter22hunter@db"),
    # Our own: keys/src/token/ and the prefixes of src/access/owners.rs.
    "an owner's or a link's secret": (rb"\bdv[owsl]_[a-z2-7]{52}\b", "dvo" + "_" + "a2" * 26),
    "a vehicle's token": (rb"\bdvd_[A-Za-z0-9_-]{151}(?![A-Za-z0-9_-])", "dvd" + "_" + "A" * 151),
    "a link's token": (rb"(?<![A-Za-z0-9_+/-])A[Q-Za-f][A-Za-z0-9_-]{160}(?![A-Za-z0-9_+/=-])", "AQ" + "a1B2c3D4" * 20),
    "a vehicle's key": (rb"\"private_key\"\s*:\s*\"M[A-Za-z0-9_-]{60,}={0,2}\"", "\"private" + "_key\": \"M" + "F" * 70 + "\""),
    "a keyring": (rb"\ADC" + rb"V[RB][\x01\x02]", b"DC" + b"VR\x01\0\0\0" + b"x" * 90),
    # The same file written down: its first six bytes in hexadecimal or base64.
    "a keyring in text": (rb"(?i:44435652|44435642)0[12][0-9a-fA-F]{40}|\bRENW[UQ][gi][EI][A-Za-z0-9+/_-]{30}", "RENW" + "UgEAAAAA" + "a1B2" * 10),
}
COMPILED = {name: re.compile(rule) for name, (rule, _) in RULES.items()}
# A rule is tried only where one of its words stands: most files hold none, and looking for a word takes no time.
WORDS = {
    "a private key": (b"PRIVATE KEY",), "an AWS access key": (b"AKIA", b"ASIA", b"ABIA", b"ACCA"), "a Google API key": (b"AIza",),
    "a Google service account": (b"private_key_id",), "an Azure storage key": (b"AccountKey=",),
    "a GitHub token": (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"), "a GitLab token": (b"glpat-", b"gldt-", b"glrt-", b"glcbt-"),
    "a package registry's token": (b"npm_", b"pypi-", b"cio"), "a chat or payment token": (b"xox", b"_live_"), "an age identity": (b"AGE-SECRET-KEY-1",),
    "a signed web token": (b"eyJ",), "a password in an address": (b"://",), "an owner's or a link's secret": (b"dvo_", b"dvw_", b"dvs_", b"dvl_"),
    "a vehicle's token": (b"dvd_",), "a link's token": (b"A",), "a vehicle's key": (b"private_key",), "a keyring": (b"DC" + b"VR", b"DC" + b"VB"),
    "a keyring in text": (b"44435652", b"44435642", b"RENW"),
}
# A name that promises a secret, and a value that looks random. Quoted, or a line of its own as in .env and YAML files.
ASSIGNMENT = re.compile(rb"(?i)(?:secret|token|passw(?:or)?d|passphrase|api_?key|access_?key|private_?key|root_?key|signing_?key|seed)[a-z0-9_]*[\"']?"
                        rb"\s*(?::\s*[&'a-z]*str\s*=|[:=]|=>|:=)\s*(?:b?[\"']([A-Za-z0-9+/_=-]{20,200})[\"']|([A-Za-z0-9+/_=-]{20,200})[ \t\r]*(?:$|\n|#))")
RANDOM = "a random value under a secret's name"


class Found:
    """One secret: which rule, where, and the start of its hash, by which a reviewed one is told from a new one."""

    def __init__(self, path, line, rule, secret):
        self.path, self.line, self.rule, self.sha = path, line, rule, hashlib.sha256(secret).hexdigest()[:12]

    def __repr__(self):
        return f"{self.path}:{self.line}: {self.rule} (sha256 {self.sha}…)"


def bits(text):
    """Shannon's entropy of a text, in bits a character."""
    counts = [text.count(c) for c in set(text)]
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)


def is_random(value):
    if re.fullmatch(rb"[0-9a-fA-F-]{32,}", value):
        return bits(value) > BITS_HEX and not value.isdigit()
    kinds = [re.search(kind, value) is not None for kind in (rb"[0-9]", rb"[a-z]", rb"[A-Z]")]
    # The names of variables and files are words in one case, or words put together.
    return all(kinds) and bits(value) > BITS_BASE64 and not re.fullmatch(rb"(?:[A-Z]?[a-z]+[0-9]?[_/=-]?)+", value)


def scan(path, content, depth=0):
    """Every secret in one file, and in the files of an archive."""
    if len(content) > FILE_BYTES:
        content = content[:FILE_BYTES]
    binary = b"\0" in content[:8_000]
    found = [f for name, inside in unpacked(content, depth) for f in scan(f"{path}!{name}", inside, depth + 1)]
    for rule, compiled in COMPILED.items():
        # A link's token has no word of its own, and in so much noise its form occurs by chance.
        if binary and rule == "a link's token" or not any(word in content for word in WORDS[rule]):
            continue
        for match in compiled.finditer(content):
            found.append(Found(path, line_of(content, match.start()), rule, match[0]))
    if not binary:
        for match in ASSIGNMENT.finditer(content):
            value = match[1] or match[2]
            if is_random(value) and line_length(content, match.start()) < LINE_BYTES:
                found.append(Found(path, line_of(content, match.start()), RANDOM, value))
    return found


def line_of(content, at):
    return content.count(b"\n", 0, at) + 1


def line_length(content, at):
    end = content.find(b"\n", at)
    return (len(content) if end < 0 else end) - content.rfind(b"\n", 0, at)


def unpacked(content, depth):
    """The files in an archive, each read no further than the bound."""
    if depth >= DEPTH:
        return
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(FILE_BYTES)
            yield "gz", content
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for _, entry in zip(range(ENTRIES), archive):
                    if entry.isfile():
                        yield entry.name, archive.extractfile(entry).read(FILE_BYTES)
        elif content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for entry in archive.infolist()[:ENTRIES]:
                    yield entry.filename, archive.open(entry).read(FILE_BYTES)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError):
        # What only looks like an archive, or was cut, was looked at as it lies.
        return


def git(repository, *arguments, text=None):
    return subprocess.run(["git", *arguments], cwd=repository, input=text, capture_output=True, check=True).stdout


def scan_tree(repository):
    """The files of a checkout, those that are not added yet too."""
    names = git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    files = [name for name in sorted(set(names)) if name and (pathlib.Path(repository) / name).is_file()]
    return files, [f for name in files for f in scan(name, (pathlib.Path(repository) / name).read_bytes())]


def scan_history(repository, *revisions):
    """Every version of every file, and every message, that the revisions reach; each content once."""
    listed = git(repository, "rev-list", "--objects", *(revisions or ("HEAD", "--tags"))).decode(errors="replace").splitlines()
    places = {}
    for line in listed:
        name, _, path = line.partition(" ")
        places.setdefault(name, path)
    heads = git(repository, "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", text="\n".join(places).encode()).decode().splitlines()
    kinds = {name: kind for name, kind, _ in map(str.split, heads)}
    wanted = [name for name in places if kinds[name] != "tree"]
    found, scanned = [], 0
    child = subprocess.Popen(["git", "cat-file", "--batch"], cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        for name in wanted:
            child.stdin.write(name.encode() + b"\n")
            child.stdin.flush()
            size = int(child.stdout.readline().split()[2])
            content = child.stdout.read(size + 1)[:size]
            scanned += 1
            found += scan(places[name] or f"{kinds[name]} {name[:12]}", content)
        child.stdin.close()
    return scanned, found


def not_allowed(found, allowed):
    """What no line of the list of reviewed ones (path, rule, reason) covers, and the lines that cover nothing."""
    unused, left = set(allowed), []
    for one in found:
        path = one.path.partition("!")[0]
        covering = [line for line in allowed if fnmatch.fnmatch(path, line[0]) and line[1] == one.rule]
        unused -= set(covering)
        if not covering:
            left.append(one)
    return left, unused
