#!/usr/bin/env python3
"""A full Debian, with all that observes it legitimately, has no symptom: while it boots, when it runs, watched.

    debian_test.py --vitrine build/bin/vitrine --kernels 6.1 7.x        (./dev bench guard --only detection)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "guests")]

from vitrine_guests.debian import Debian  # noqa: E402

# What must be running in it when it is scanned: the services, and what bpftrace attached.
EXPECTED_HOOKS = {"kprobe", "kretprobe", "tracepoint"}


def run(vitrine, label, boot_seconds, watch_seconds):
    failures = []

    def judge(when, output, errors, status):
        findings = [json.loads(line) for line in output.splitlines()]
        for finding in findings[:20]:
            failures.append(f"{label}, {when}: {finding['symptom']}: {finding['message']} {finding['evidence']}")
        print(f"  {when}: {len(findings)} findings, status {status}", flush=True)
        for line in sorted(set(errors.splitlines())):
            print(f"      said: {line}")

    with tempfile.TemporaryDirectory() as cache, Debian(label) as guest:
        environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": cache, "LANG": "C.UTF-8"}
        print(f"{guest.kernel.release}, a full Debian:", flush=True)
        scan = [str(vitrine), "scan", str(guest.pid), "--json"]
        booting, begin = 0, time.monotonic()
        time.sleep(8)  # firmware and the kernel's first steps: there is nothing to attach to yet
        while booting < 4 and time.monotonic() - begin < boot_seconds / 2:
            done = subprocess.run(scan, capture_output=True, text=True, env=environment, timeout=300)
            if done.returncode in (0, 3, 4):
                booting += "nothing was looked at" not in done.stderr
                judge("as it boots", done.stdout, done.stderr, done.returncode)
            time.sleep(5)
        said = guest.wait(boot_seconds)
        print(f"  its services after {time.monotonic() - begin:.0f} s: {' '.join(said.split()[:5])}; bpftrace: {'in' if 'probes are in' in said else said[-300:]}")
        if said.split().count("active") != 5 or "probes are in" not in said:
            failures.append(f"{label}: not all services run: {said}")
        done = subprocess.run(scan, capture_output=True, text=True, env=environment, timeout=300)
        judge("at rest", done.stdout, done.stderr, done.returncode)
        if done.returncode != 0:
            failures.append(f"{label}: status {done.returncode}: {done.stderr}")
        hooks = subprocess.run([str(vitrine), "show", "hooks", str(guest.pid), "--json"], capture_output=True, text=True, env=environment, timeout=300)
        kinds = {json.loads(line)["kind"] for line in hooks.stdout.splitlines()}
        if not EXPECTED_HOOKS <= kinds:
            failures.append(f"{label}: the guest was to have {sorted(EXPECTED_HOOKS)}; hooks has {sorted(kinds)}")
        done = subprocess.run([*scan, "--for", str(watch_seconds)], capture_output=True, text=True, env=environment, timeout=300)
        judge(f"watched for {watch_seconds} s", done.stdout, done.stderr, done.returncode)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default=str(HERE.parent.parent / "build/bin/vitrine"))
    parser.add_argument("--kernels", nargs="+", default=["6.1", "7.x"])
    parser.add_argument("--boot", type=float, default=600, help="seconds that it may take to boot under TCG")
    parser.add_argument("--watch", type=int, default=40)
    arguments = parser.parse_args()
    failures = [f for label in arguments.kernels for f in run(os.path.abspath(arguments.vitrine), label, arguments.boot, arguments.watch)]
    for failure in failures:
        print(f"FAILED {failure}")
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
