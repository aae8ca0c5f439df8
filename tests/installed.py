#!/usr/bin/env python3
"""What `cmake --install` puts on a host finds its own parts there, and nothing in the source tree.

    installed.py BUILD_DIRECTORY
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

build = Path(sys.argv[1]).resolve()
wrong = []


def run(*words):
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment, cwd="/")
    return done.returncode, done.stdout + done.stderr


def expect(what, good, said=""):
    if not good:
        wrong.append(f"{what}: {said[:400]}")


with tempfile.TemporaryDirectory(prefix="vitrine-installed-") as folder:
    prefix = Path(folder) / "usr"
    status, said = run("cmake", "--install", str(build), "--prefix", str(prefix))
    expect("it installs", status == 0, said)
    program = str(prefix / "bin/vitrine")
    status, said = run(program, "--version")
    expect("the program runs", status == 0 and said.startswith("vitrine "), said)
    status, said = run(program, "qemu-args", "web1")
    expect("it finds the agent", status == 0 and f"-plugin {prefix}/lib/vitrine/vitrine-agent.so," in said, said)
    # The pack is read before any machine is: with one that is not there, that alone is complained of.
    status, said = run(program, "scan", "/nonexistent")
    expect("it finds the rules", status == 1 and said.startswith("vitrine: there is no /nonexistent\n"), said)
    status, said = run(program, "check", str(prefix / "share/vitrine/examples/listeners.vmi"))
    expect("the examples are there", status == 0, said)
    status, said = run(str(prefix / "bin/vitrined"), "--config", str(prefix / "share/vitrine/vitrined.toml"), "--check")
    expect("the configuration to begin with is right", status == 0, said)
    for part in ("bin/vitrine-guard", "bin/vitrine-fvm", "share/vitrine/guests/guest"):
        expect(f"{part} can be started", os.access(prefix / part, os.X_OK))
    for part in ("share/man/man1/vitrine.1", "lib/systemd/system/vitrined.service"):
        expect(f"{part} is there", (prefix / part).is_file())

print("\n".join(wrong) or "installed, and whole")
sys.exit(1 if wrong else 0)
