#!/usr/bin/env python3
"""Runs every kind of test there is and ends with one table of their counts.

`make test` and `make torture` (DASHVAULT_TORTURE=1: the full counts) call it once everything a test needs is installed.
All programs are built once, in the development profile (optimised dependencies, overflow checks on), and every kind
drives those. A tool that is missing, a kind that counts no test and a test that is skipped fail the run. Names as
arguments run those kinds only.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dashvault")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
PYTHON = CACHE / "python" / "bin" / "python"
# Tests write down here how many rounds of something they made (`rounds` of tests/support).
COUNTS = TARGET / "test-counts.tsv"
# No command takes half of this on two cores; a test that hangs must not take the machine with it.
LIMIT_SECONDS = 8 * 3600 if os.environ.get("DASHVAULT_TORTURE") else 45 * 60
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Count:
    """One row of the table."""

    def __init__(self, name, passed=0, failed=0, skipped=0, seconds=0.0):
        self.name, self.passed, self.failed, self.skipped, self.seconds = name, passed, failed, skipped, seconds

    @property
    def bad(self):
        return bool(self.failed or self.skipped or not self.passed)


def postgres_programs():
    """Debian keeps initdb and pg_ctl out of the PATH; the newest version is taken."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    return found[-1].parent if found else pathlib.Path("/usr/lib/postgresql/missing/bin")


def environment():
    env = dict(os.environ)
    env.update(
        CARGO_TARGET_DIR=str(TARGET),
        CARGO_TERM_COLOR="never",
        DASHVAULT_PYTHON=str(PYTHON),
        DASHVAULT_WEED=str(PYTHON.with_name("weed")),
        DASHVAULT_RCLONE=str(PYTHON.parents[2] / "rclone" / "bin" / "rclone"),
        DASHVAULT_PG_BIN=str(postgres_programs()),
        DASHVAULT_CHROMIUM="/usr/bin/chromium",
        DASHVAULT_BIN=str(TARGET / "debug" / "dashvault"),
        DASHVAULT_WORKER=str(TARGET / "debug" / "dashvault-worker"),
        DASHVAULT_COUNTS=str(COUNTS),
        RUST_BACKTRACE="1",
    )
    # Tests talk to loopback; a proxy set for package downloads is not theirs to use.
    env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost,::1"
    return env


def missing_tools(env):
    tools = [env["DASHVAULT_PYTHON"], env["DASHVAULT_WEED"], env["DASHVAULT_RCLONE"], str(PYTHON.with_name("caddy")), env["DASHVAULT_PG_BIN"] + "/initdb", env["DASHVAULT_CHROMIUM"]]
    programs = ["cargo", "git", "curl", "wget", "ffmpeg", "ffprobe", "sqlite3", "nginx", "haproxy", "nft", "ip", "tc", "mkfs.ext4"]
    missing = [t for t in tools if not os.access(t, os.X_OK)]
    # Where Debian puts servers and the tools of the network and of disks is not in everybody's PATH; tests look there, too.
    folders = [*env["PATH"].split(os.pathsep), "/usr/sbin", "/sbin"]
    for program in programs:
        if not any(os.access(os.path.join(d, program), os.X_OK) for d in folders):
            missing.append(program)
    return missing


def run(command, env, cwd=TOP):
    """Runs a command, shows what it prints as it comes, and returns its exit code, its lines and its seconds."""
    print(f"\n$ {' '.join(map(str, command))}", flush=True)
    began, lines = time.monotonic(), []
    try:
        child = subprocess.Popen(list(map(str, command)), cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                 start_new_session=True)
    except OSError as error:
        print(error, flush=True)
        return 127, [], 0.0

    def end():
        print(f"Ended: not done after {LIMIT_SECONDS} seconds.", flush=True)
        os.killpg(child.pid, signal.SIGKILL)

    limit = threading.Timer(LIMIT_SECONDS, end)
    limit.start()
    try:
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(ANSI.sub("", line.rstrip("\n")))
        return child.wait(), lines, time.monotonic() - began
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        limit.cancel()


def check(name, *command):
    """A kind that is one command and one verdict."""
    def kind(env):
        code, _, seconds = run(command, env)
        return [Count(name, int(code == 0), int(code != 0), 0, seconds)]
    return kind


def rust(env):
    """Unit, property, integration and documentation tests of all crates; one row for each test program."""
    code, _, seconds = run(["cargo", "build", "--locked", "--workspace", "--all-targets"], env)
    rows = [Count("rust: programs and tests build", int(code == 0), int(code != 0), 0, seconds)]
    if code:
        return rows
    code, lines, seconds = run(["cargo", "test", "--locked", "--workspace", "--no-fail-fast"], env)
    name, open_program = None, False
    for line in lines:
        if m := re.match(r"\s+Running (?:unittests )?(\S+) \((.*)\)$", line):
            program = re.sub(r"-[0-9a-f]{16}$", "", pathlib.Path(m[2]).name)
            name, open_program = f"rust: {program}, {m[1]}", True
        elif m := re.match(r"\s+Doc-tests (\S+)$", line):
            name, open_program = f"rust: {m[1]}, documentation", True
        elif (m := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored; .*finished in ([\d.]+)s", line)) and open_program:
            rows.append(Count(name, int(m[1]), int(m[2]), int(m[3]), float(m[4])))
            open_program = False
        if open_program and line.startswith("error: test failed"):
            rows.append(Count(name + " (ended early)", 0, 1))
            open_program = False
    if open_program:
        rows.append(Count(name + " (ended early)", 0, 1))
    # A program without any test is no row; what failed without a count still fails.
    rows = [r for r in rows if r.passed or r.failed or r.skipped]
    if code and not any(r.bad for r in rows):
        rows.append(Count("rust: cargo test", 0, 1, 0, seconds))
    return rows


def npm(name, folder, *scripts):
    """Runs the npm scripts of a folder and reads the count that its test runner closes with."""
    def kind(env):
        cwd, rows = TOP / folder, []
        if not (cwd / "package.json").exists():
            return []
        code, _, seconds = run(["npm", "ci", "--no-audit", "--no-fund"], env, cwd)
        if code:
            return [Count(f"{name}: npm ci", 0, 1, 0, seconds)]
        for script in scripts:
            code, lines, seconds = run(["npm", "run", script], env, cwd)
            passed, failed, skipped = closing_count(lines)
            if script == "check" and not passed and not failed:
                passed = int(code == 0)
            if code and not failed:
                failed = 1
            rows.append(Count(f"{name}: {script}", passed, failed, skipped, seconds))
        return rows
    return kind


def closing_count(lines):
    """Passed, failed and skipped, as node's runner, Vitest, Playwright, unittest or a plain line tells them."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for line in lines:
        if m := re.match(r"(?:#|ℹ) (pass|fail|skipped|todo|cancelled) (\d+)$", line):
            counts[{"pass": "passed", "fail": "failed", "cancelled": "failed"}.get(m[1], "skipped")] += int(m[2])
        elif m := re.match(r"\s*Tests\s+(.*)\(\d+\)\s*$", line):
            for n, word in re.findall(r"(\d+) (passed|failed|skipped|todo)", m[1]):
                counts["skipped" if word == "todo" else word] += int(n)
        elif m := re.match(r"\s+(\d+) (passed|failed|skipped|flaky|did not run)\b", line):
            counts[m[2] if m[2] in counts else "failed"] += int(m[1])
        elif m := re.match(r"(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", line):
            counts["passed"] += int(m[1])
            counts["failed"] += int(m[2])
            counts["skipped"] += int(m[3] or 0)
    return counts["passed"], counts["failed"], counts["skipped"]


def scripts(env):
    """The tests that stand outside: each tests/outside/*_test.py drives the programs and the HTTP face as a stranger would."""
    rows = []
    for path in sorted((TOP / "tests" / "outside").glob("*_test.py")):
        code, lines, seconds = run([PYTHON, "-B", path], env)
        passed, failed, skipped = closing_count(lines)
        for line in lines:
            if m := re.match(r"Ran (\d+) tests? in ", line):
                passed = int(m[1])
            if m := re.match(r"(?:FAILED|OK) \((.*)\)$", line):
                told = dict((k, int(v)) for k, v in re.findall(r"(failures|errors|skipped)=(\d+)", m[1]))
                failed, skipped = told.get("failures", 0) + told.get("errors", 0), told.get("skipped", 0)
                passed -= failed + skipped
        if code and not failed:
            failed = 1
        rows.append(Count(f"outside: {path.stem}", max(passed, 0), failed, skipped, seconds))
    return rows


KINDS = {
    "format": check("format", "cargo", "fmt", "--all", "--check"),
    "rust": rust,
    "lints": check("lints", "cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"),
    "web": npm("web", "web", "check", "test"),
    "outside": scripts,
    "browser": npm("browser", "tests/browser", "test"),
}


def table(rows, seconds):
    width = max(len(r.name) for r in rows)
    print(f"\n{'kind':<{width}}  passed  failed  skipped  seconds")
    for r in rows:
        print(f"{r.name:<{width}}  {r.passed:6}  {r.failed:6}  {r.skipped:7}  {r.seconds:7.1f}{'  <- not good' if r.bad else ''}")
    if COUNTS.exists():
        print("\nrounds made")
        for line in COUNTS.read_text().splitlines():
            name, _, count = line.partition("\t")
            print(f"  {count:>8}  {name}")
        print()
    slowest = sorted(rows, key=lambda r: -r.seconds)[:5]
    print("Longest: " + "; ".join(f"{r.name} {r.seconds:.0f} s" for r in slowest))
    print(f"In all {seconds / 60:.1f} minutes{', full counts' if os.environ.get('DASHVAULT_TORTURE') else ''}.")


def main():
    env, began = environment(), time.monotonic()
    if missing := missing_tools(env):
        sys.exit("missing, though .ci/install test should have brought them: " + ", ".join(missing))
    COUNTS.unlink(missing_ok=True)
    rows = []
    for name in sys.argv[1:] or KINDS:
        rows += KINDS[name](env)
    table(rows, time.monotonic() - began)
    # A row that is bad without a failed test of its own (nothing ran, or some were skipped) counts as one.
    failed = sum(max(r.failed, int(r.bad)) for r in rows)
    print(f"{sum(r.passed for r in rows)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
