#!/usr/bin/env python3
"""Shows each symptom in a throw-away guest, and wants it found, with its evidence, and gone when it is undone.

    scan_test.py --vitrine build/bin/vitrine                 all kernels
    scan_test.py --kernels 6.1 --only hidden_module          these alone

The scanner watches a running guest; the guest shows a symptom (guests/fixtures), and the time until the finding and,
after it is undone, until it is told as gone is measured. What looks like a symptom and is none must stay silent, and so
must a guest with nothing in it, on every kernel.
"""

import argparse
import io
import json
import os
import queue
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "guests")]

from vitrine_guests import LABELS, Guest  # noqa: E402
from vitrine_guests import fixtures  # noqa: E402

# Actors of the test guest that show a symptom by themselves, and which.
ACTORS = {("executable_memfd", "maps"), ("executable_memfd", "exe-memfd"), ("writable_and_executable", "maps"),
          ("kernel_thread_impersonated", "exe-memfd"), ("kernel_thread_impersonated", "comms")}  # fmt: skip
PATIENCE = 40.0  # seconds until a finding, on a machine that others use too
MODULE = 'echo "{}" > /proc/vitrine_fixture'
UNDO = "kill -9 $(sed -n 's/shown //p' /tmp/out); killall -9 fixture 2>/dev/null; true"
PROGRAM = "/tmp/fixture {} > /tmp/out 2>&1 < /dev/null & for i in 1 2 3 4 5 6 7 8; do sleep 1; grep -q . /tmp/out && break; done; cat /tmp/out"


@dataclass
class Case:
    """One fixture: how it is shown and undone, and what must be found."""

    name: str
    symptom: str  # empty: nothing may be found
    show: str
    undo: str
    wants: dict = field(default_factory=dict)  # evidence: column and a part of its value
    hidden: bool = False  # the module hides first, so that its code is nobody's


def module(name, symptom, wants, hidden=False, number=""):
    return Case(name, symptom, MODULE.format(f"show {name} {number}".strip()), MODULE.format(f"undo {name}"), wants, hidden)


def program(name, symptom, wants, title=None):
    return Case(title or name, symptom, PROGRAM.format(name), UNDO, wants)


CASES = [
    # A module that was loaded, and has asked for nothing, is no symptom; nor a kprobe of a known module.
    Case("clean_module", "", "true", "true"),
    module("kprobe", "", {}),
    module("syscall_table", "syscall_table_hooked", {"number": "180", "expected": "false", "owner": "module vitrine_fixture"}),
    module("text_entry", "kernel_text_patched", {"kind": "entry", "function": "__x64_sys_acct", "owner": "module vitrine_fixture"}),
    module("text_body", "kernel_text_patched", {"kind": "changed", "region": "kernel"}),
    module("idt", "interrupt_table_changed", {"vector": "31", "module": "vitrine_fixture"}),
    module("seq_operations", "operations_hooked", {"table": "tcp4_seq_ops", "owner": "module vitrine_fixture"}),
    module("file_operations", "operations_hooked", {"table": "proc_root_operations", "owner": "module vitrine_fixture"}),
    module("ftrace", "function_diverted_by_module", {"kind": "ftrace", "target": "__x64_sys_acct", "module": "vitrine_fixture"}),
    module("hidden_module", "hidden_module", {"name": "vitrine_fixture", "missing_from": "module list"}),
    Case("hidden_module_deep", "hidden_module", MODULE.format("show hidden_module 1"), MODULE.format("undo hidden_module"),
         {"name": "vitrine_fixture", "missing_from": "module list, sysfs"}),
    Case("hidden_code", "unknown_kernel_code", MODULE.format("show hidden_module"), MODULE.format("undo hidden_module"), {"known": "false"}),
    module("ftrace", "hook_outside_known_code", {"kind": "ftrace", "target": "__x64_sys_acct", "known": "false"}, hidden=True),
    module("kprobe", "hook_outside_known_code", {"kind": "kprobe", "target": "__x64_sys_swapoff", "known": "false"}, hidden=True),
    module("seq_operations", "operations_hooked", {"table": "tcp4_seq_ops", "known": "false"}, hidden=True),
    module("hidden_process", "hidden_process", {"name": "sleep", "found_by": "pid table"}, number="$(cat /tmp/sleep.pid)"),
    module("unnumbered_process", "hidden_process", {"name": "sleep", "listed": "true", "numbered": "false"}, number="$(cat /tmp/sleep.pid)"),
    program("credentials none", "", {}, "clean_credentials"),
    program("credentials ids_written", "credentials_raised", {"raised": "true", "uid": "0", "exec_uid": "1000", "foreign_user": "true"}),
    program("credentials kernel_credentials", "credentials_raised", {"raised": "true", "uid": "0", "exec_uid": "1000"}),
    program("credentials stolen_credentials 1", "credentials_shared", {"shared": "true"}),
    program("clean-patched", "", {}),
    program("patched", "program_text_changed", {"changed": "1", "path": "/tmp/fixture", "uprobe": "false"}),
    program("memfd", "executable_memfd", {"path": "/memfd:payload"}),
    program("deleted", "deleted_program", {"path": "/tmp/fixture-gone (deleted)"}),
    program("writable-executable", "writable_and_executable", {"permissions": "rwxp"}),
    program("clean-reverse-shell", "", {}),
    program("reverse-shell", "reverse_shell", {"input": "socket:", "shell": "true"}),
    program("masquerade", "kernel_thread_impersonated", {"path": "/tmp/fixture", "cmdline": "[kworker/u4:2-events]"}),
    program("clean-bpf", "", {}),
    program("bpf-writes", "bpf_program_tampers", {"name": "shown_writes", "type": "tracepoint", "writes_user": "true", "uid": "0"}),
    Case("preload_file", "library_preloaded_everywhere", "mkdir -p /etc; echo /usr/lib/.hidden.so > /etc/ld.so.preload", "rm /etc/ld.so.preload",
         {"by": "/etc/ld.so.preload", "value": "/usr/lib/.hidden.so", "everywhere": "true"}),
    Case("preload_variable", "library_preloaded_from_odd_place",
         "LD_PRELOAD=/tmp/odd.so /tmp/fixture wait > /tmp/out 2>&1 < /dev/null & sleep 1; cat /tmp/out", UNDO, {"by": "LD_PRELOAD", "value": "/tmp/odd.so"}),
    Case("preload_clean", "", "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 /tmp/fixture wait > /tmp/out 2>&1 < /dev/null & sleep 1; cat /tmp/out", UNDO),
    Case("modprobe_path", "kernel_helper_redirected", "echo /tmp/not-modprobe > /proc/sys/kernel/modprobe", "echo /sbin/modprobe > /proc/sys/kernel/modprobe"),
    Case("core_pattern", "core_dumps_redirected", "echo '|/tmp/dumper %p' > /proc/sys/kernel/core_pattern", "echo core > /proc/sys/kernel/core_pattern"),
    Case("required_process_missing", "required_process_missing", "killall -9 must-run", "cp /tmp/fixture /tmp/must-run; /tmp/must-run wait >/dev/null 2>&1 </dev/null &",
         {"name": "must-run", "running": "0"}),
]  # fmt: skip


class Scanner:
    """`vitrine scan --watch --json`, and what it has said."""

    def __init__(self, vitrine, guest, cache, *more):
        environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), "LANG": "C.UTF-8"}
        self.process = subprocess.Popen([vitrine, "scan", str(guest.pid), "--watch", "--json", *more], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment, text=True)  # fmt: skip
        self.lines = queue.Queue()
        self.remarks = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._remark, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put((time.monotonic(), json.loads(line)))

    def _remark(self):
        for line in self.process.stderr:
            self.remarks.append(line.rstrip())

    def settle(self, seconds):
        """All that is said until nothing more is for that long."""
        said = []
        while True:
            try:
                said.append(self.lines.get(timeout=seconds)[1])
            except queue.Empty:
                return said

    def wait(self, accept, seconds):
        """(when, finding) of the first that is accepted, and all others; None after that time."""
        others, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                when, finding = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if accept(finding):
                return when, finding, others
            others.append(finding)
        return None, None, others

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def image_of(label, folder):
    """A tar of the fixtures, as a disk."""
    path = Path(folder) / f"fixtures-{label}.tar"
    with tarfile.open(path, "w") as tar:
        for source, name in ((fixtures.program(), "fixture"), (fixtures.module(label), "vitrine_fixture.ko")):
            info = tarfile.TarInfo(name)
            data = source.read_bytes()
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    with open(path, "ab") as out:
        out.truncate((path.stat().st_size + 0xFFFFF) & ~0xFFFFF)
    return path


def actor_of(finding, actors):
    """The actor that shows it: by its process, or as a child of it by its program."""
    path = finding["evidence"].get("path", "")
    return actors.get(str(finding["pid"])) or (path.removeprefix("/actors/") if path.startswith("/actors/") else None)


def expected_of_actors(finding, actors):
    return (finding["symptom"], actor_of(finding, actors)) in ACTORS


def shows(finding, case):
    if finding["state"] != "fresh" or finding["symptom"] != case.symptom:
        return False
    evidence = finding["evidence"]
    return all(part in evidence.get(column, "") for column, part in case.wants.items())


class Run:
    def __init__(self, vitrine, label, only):
        self.vitrine, self.label, self.only = vitrine, label, only
        self.failures, self.found, self.gone = [], [], []

    def fail(self, text):
        self.failures.append(f"{self.label}: {text}")
        print(f"  FAILED {text}", flush=True)

    def run(self, folder):
        # One guest with nothing in it but its actors, and the fixtures in the same afterwards.
        clean_only = self.label not in fixtures.LABELS
        extra = "" if clean_only else f"-drive file={image_of(self.label, folder)},format=raw,if=virtio,readonly=on"
        with Guest(self.label, cpus=2, memory=256, extra=extra) as guest:
            print(f"{guest.kernel.release}:", flush=True)
            guest.run("mkdir -p /tmp; cd /tmp; tar xf /dev/vda 2>/dev/null; cp fixture must-run; cp /bin/busybox /tmp/sleep")
            actors = dict(reversed(line.split("\t")[:2]) for line in guest.file("/run/vitrine/actors").decode().splitlines())
            self.check_clean(guest, folder, actors)
            if not self.only:
                self.check_bad_rules(guest, folder)
            if clean_only:
                print("  no fixtures for this kernel", flush=True)
                return
            guest.run("/tmp/must-run wait >/dev/null 2>&1 </dev/null & /tmp/sleep 100000 >/dev/null 2>&1 </dev/null & echo $! > /tmp/sleep.pid")
            status, text = guest.run("insmod /tmp/vitrine_fixture.ko")
            if status != 0:
                return self.fail(f"insmod: {text.decode(errors='replace')}")
            scanner = Scanner(self.vitrine, guest, folder, "--require", "must-run")
            try:
                for finding in scanner.settle(8.0):
                    if not expected_of_actors(finding, actors):
                        self.fail(f"a module that does nothing: {finding['symptom']}: {finding['message']}")
                for case in CASES:
                    if not self.only or case.name in self.only or case.symptom in self.only:
                        self.try_case(guest, scanner, case)
            finally:
                scanner.close()
            for remark in sorted(set(scanner.remarks)):
                print(f"  said: {remark}")

    def check_clean(self, guest, folder, actors):
        environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "LANG": "C.UTF-8"}
        done = subprocess.run([self.vitrine, "scan", str(guest.pid), "--json"], capture_output=True, env=environment, text=True)
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        seen = {(f["symptom"], actor_of(f, actors)) for f in findings}
        for finding in findings:
            if not expected_of_actors(finding, actors):
                self.fail(f"clean guest: {finding['symptom']}: {finding['message']}")
        if seen != ACTORS:
            self.fail(f"the actors show {sorted(ACTORS - seen, key=str)}, which was not found")
        if done.returncode != 4:
            self.fail(f"status {done.returncode}: {done.stderr}")
        print(f"  clean: {len(findings)} findings", flush=True)

    def check_bad_rules(self, guest, folder):
        """A mistake is told with its line, a rule without an end is ended, an unknown view is named; the rest runs."""
        rules = Path(folder) / "bad-rules"
        rules.mkdir(exist_ok=True)
        (rules / "mistake.vmi").write_text('Symptom x { severity: high\n text: "t"\n Every(1s) { for (p in procesess) Report("%d", p.pid) } }\n')
        (rules / "endless.vmi").write_text(
            'Symptom endless { severity: low\n text: "t"\n Every(1s) { let n = 0\n for (a in 0..100000) for (b in 0..100000) n = n + b\n Report("%d", n) } }\n'
        )
        (rules / "sound.vmi").write_text('Symptom sound { severity: info\n text: "t"\n Every(1s) { Report("here") } }\n')
        (rules / "mistake.yar").write_text("rule broken { condition: nothing }\n")
        environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "LANG": "C.UTF-8"}
        words = [self.vitrine, "scan", str(guest.pid), "--json", "--no-default-rules", "--rules", str(rules)]
        done = subprocess.run(words, capture_output=True, env=environment, text=True, timeout=120)
        found = {json.loads(line)["symptom"] for line in done.stdout.splitlines()}
        told = ("mistake.vmi:3", "processes", "mistake.yar:1", "endless: over its budget")
        if found != {"sound"} or not all(text in done.stderr for text in told):
            self.fail(f"bad rules: found {found}, told {done.stderr}")
        done = subprocess.run([*words, "--allow", 'finding.symptom == "sound"'], capture_output=True, env=environment, text=True, timeout=120)
        if done.stdout:
            self.fail(f"allowed, and told: {done.stdout}")
        done = subprocess.run([*words, "--allow", "finding.sympton == 1"], capture_output=True, env=environment, text=True, timeout=120)
        if done.returncode == 0 or "symptom" not in done.stderr:
            self.fail(f"an allow-list with a mistake: {done.returncode} {done.stderr}")
        print("  bad rules: told, and the rest ran", flush=True)

    def try_case(self, guest, scanner, case):
        title = case.name + (", hidden" if case.hidden else "")
        if case.hidden:
            guest.run(MODULE.format("show hidden_module"))
            scanner.settle(4.0)
        start = time.monotonic()
        status, text = guest.run(case.show)
        shown = time.monotonic()
        if status != 0 or (case.show.startswith("/tmp") and b"shown" not in text):
            self.fail(f"{title}: cannot be shown here: {text.decode(errors='replace').strip()} ({status})")
        elif not case.symptom:
            for finding in scanner.settle(5.0):
                if finding["state"] == "fresh":
                    self.fail(f"{title}: {finding['symptom']}: {finding['message']}")
            print(f"  {title:34} silent", flush=True)
        else:
            when, finding, others = scanner.wait(lambda f: shows(f, case), PATIENCE)
            if when is None:
                self.fail(f"{title}: no finding {case.symptom}; there were {[(f['symptom'], f['evidence']) for f in others][:4]}")
            else:
                self.found.append(max(0.0, when - start))
                print(f"  {title:34} {case.symptom}: after {when - start:5.2f} s", flush=True)
                self.undo(guest, scanner, case, finding, title)
                return self.tidy(guest, scanner, case)
        guest.run(case.undo)
        self.tidy(guest, scanner, case)

    def undo(self, guest, scanner, case, finding, title):
        start = time.monotonic()
        guest.run(case.undo)
        when, _, _ = scanner.wait(lambda f: f["state"] == "gone" and f["identity"] == finding["identity"], PATIENCE)
        if when is None:
            self.fail(f"{title}: undone, and still there")
        else:
            self.gone.append(when - start)

    def tidy(self, guest, scanner, case):
        if case.hidden:
            guest.run(MODULE.format("undo hidden_module"))
        scanner.settle(4.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default=str(HERE.parent.parent / "build/bin/vitrine"))
    parser.add_argument("--kernels", nargs="+", default=list(LABELS))
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--report", help="write the times as JSON")
    arguments = parser.parse_args()
    failures, found, gone = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for label in arguments.kernels:
            run = Run(os.path.abspath(arguments.vitrine), label, set(arguments.only))
            run.run(folder)
            failures += run.failures
            found += run.found
            gone += run.gone
    if found:
        print(f"found: {len(found)}, median {statistics.median(found):.2f} s, worst {max(found):.2f} s")
    if gone:
        print(f"gone:  {len(gone)}, median {statistics.median(gone):.2f} s, worst {max(gone):.2f} s")
    if arguments.report:
        Path(arguments.report).write_text(json.dumps({"found": found, "gone": gone, "failures": failures}))
    for failure in failures:
        print(f"FAILED {failure}")
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
