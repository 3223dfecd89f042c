#!/usr/bin/env python3
"""Plants each fault of this folder in a copy of the project, builds it, and sees which suites find it.

    tests/mutants/run.py [--first] [NAME ...]

A patch's first line says what it plants. The copy and its build are in target/mutants. Exits with 1 if a fault is found
by no suite; prints a row of a table for each, with the seed where a suite goes by seeds. With --first the other suites are not
asked once one has found it by a test that fails.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
CARGO = ["cargo", "test", "--locked", "--features", "crash-points"]
# Each suite is asked by itself, so that the table says which of them find what.
SUITES = {
    "unit tests": ["--lib"],
    "structure": ["--test", "it", "structure::"],
    "matrix": ["--test", "it", "isolation::matrix::"],
    "programs": ["--test", "it", "isolation::programs::"],
    "scenarios": [
        "--test", "it", "--",
        "isolation::two_users", "isolation::pausing", "isolation::page_tokens", "isolation::a_suppression",
        "isolation::prospects_that",
    ],
    "audit": ["--test", "it", "audit::"],
    "read cache": ["--test", "it", "read_cache::"],
    "neighbours": ["--test", "it", "isolation::neighbours::"],
    "kills": ["--test", "it", "kills::"],
    "what people see": ["--test", "it", "--", "golden::", "fields::", "csv::", "campaigns::each_further"],
    "recipients": ["--test", "it", "--", "recipients::", "upgrades::", "backups::"],
    "hostile": [
        "--test", "it", "--", "--test-threads", "1",
        "hostile::pages::websites_that_multiply", "hostile::poison::", "hostile::wire::",
        "hostile::connections::windows",
    ],
}
MINUTES = 4
ENDLESS = "does not end"


def run(*command, check=True, **options):
    return subprocess.run(command, cwd=TREE, check=check, text=True, capture_output=True, **options)


def copy():
    """The project as it is, what git does not know of yet included."""
    TREE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout
    # By rsync's rule: what is the same keeps its time, so that only what a patch changes is built again.
    for name in filter(None, listed.decode().split("\0")):
        source, target = ROOT / name, TREE / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    modules = TREE / "tests" / "clients" / "node_modules"
    if not modules.exists():
        modules.symlink_to(ROOT / "tests" / "clients" / "node_modules")


def apply(patch, *options):
    # As outside of a repository, where paths are those of this folder.
    environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(WORK))
    run("git", "apply", "--whitespace=nowarn", *options, str(patch), env=environment)


def finds(suite, arguments):
    """What a suite says of the copy: None if it finds nothing."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(WORK / "build"), CARGO_TERM_COLOR="never")
    # In a session of its own, so that what the tests have started ends with them.
    process = subprocess.Popen(
        [*CARGO, *arguments], cwd=TREE, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        text, _ = process.communicate(timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return ENDLESS
    if process.returncode == 0:
        return None
    if "error: could not compile" in text:
        sys.exit(f"the copy does not compile:\n{text[-3000:]}")
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", text, re.M)
    seeds = sorted({int(seed) for seed in re.findall(r"^seed (\d+):", text, re.M)})
    names = ", ".join(name.rsplit("::", 1)[-1] for name in failed) or "fails"
    return names + (f" (seed {', '.join(map(str, seeds))})" if seeds else "")


def main():
    here = Path(__file__).parent
    patches = sorted(here.glob("*.patch"))
    names = [name for name in sys.argv[1:] if name != "--first"]
    if names:
        patches = [here / f"{name}.patch" for name in names]
    missed = []
    copy()
    for patch in patches:
        apply(patch)
        print(f"\n{patch.stem}: {patch.read_text().splitlines()[0]}", flush=True)
        found = False
        for suite, arguments in SUITES.items():
            told = finds(suite, arguments)
            if told:
                found = True
                print(f"  {suite}: {told}", flush=True)
                if "--first" in sys.argv and told != ENDLESS:
                    break
        if not found:
            missed.append(patch.stem)
            print("  NOBODY FINDS IT", flush=True)
        apply(patch, "--reverse")
    print(f"\n{len(patches) - len(missed)} of {len(patches)} found; missed: {', '.join(missed) or 'none'}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
