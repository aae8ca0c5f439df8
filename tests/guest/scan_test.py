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
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

import images  # noqa: E402
from vitrine_guests import LABELS, Guest  # noqa: E402
from vitrine_guests import fixtures  # noqa: E402

# Actors of the test guest that show a symptom by themselves, and which.
ACTORS = {("executable_memfd", "maps"), ("writable_and_executable", "maps"),
          ("kernel_thread_impersonated", "exe-memfd"), ("kernel_thread_impersonated", "comms")}  # fmt: skip
# Looked for in QEMU's own memory: images and FVMs, which have the guest's RAM alone, cannot.
BEYOND_RAM = {"system_call_entry_changed"}
PATIENCE = 40.0  # seconds until a finding, on a machine that others use too
MODULE = 'echo "{}" > /proc/vitrine_fixture'
# Each program's pids are its own, so that several can be shown at once. What one said before is gone before it is shown
# again: the shell empties the file in the new process only, and the old words may be read meanwhile, or none.
PROGRAM = (
    "rm -f /tmp/{name}.out; {before}/tmp/fixture {words} > /tmp/{name}.out 2>&1 < /dev/null & echo $! > /tmp/{name}.pid; "
    "for i in $(seq 30); do grep -q . /tmp/{name}.out && break; sleep 1; done; cat /tmp/{name}.out"
)
UNDO = "kill -9 $(sed -n 's/shown //p' /tmp/{}.out) $(cat /tmp/{}.pid) 2>/dev/null; true"


@dataclass
class Case:
    """One fixture: how it is shown and undone, and what must be found."""

    name: str
    symptom: str  # empty: nothing may be found
    show: str
    undo: str
    wants: dict = field(default_factory=dict)  # evidence: column and a part of its value
    account: str = ""  # what the guest itself must say of it meanwhile: a condition of its shell

    found_after: float | None = None
    identity: str | None = None


def module(name, symptom, wants=None, number="", title=None, account=""):
    return Case(title or name, symptom, MODULE.format(f"show {name} {number}".strip()), MODULE.format(f"undo {name}"), wants or {}, account)


def shown(words, name, before=""):
    """What a guest's shell does to show it; what it says is what the fixture says."""
    return PROGRAM.format(words=words, name=name, before=before)


def program(words, symptom, wants=None, title=None, before="", account=""):
    name = title or words
    return Case(name, symptom, shown(words, name, before), UNDO.format(name, name), wants or {}, account.format(name))


SHOWN = "$(sed -n 's/shown \\([0-9]*\\).*/\\1/p' /tmp/{}.out)"
# A page of its text that is the process's own.
PATCHED = "awk '/r-xp.*fixture/ {{x = 1}} x && /^Anonymous:/ {{exit $2 == 0}}' /proc/" + SHOWN + "/smaps"
ROOT_NOW = "grep -q '^Uid:.0.0.0.0$' /proc/" + SHOWN + "/status"
UNLISTED = "! grep -q ^vitrine_fixture /proc/modules && {} test -d /sys/module/vitrine_fixture"
HIDE, UNHIDE = MODULE.format("show hidden_module"), MODULE.format("undo hidden_module")


@dataclass
class Group:
    """Fixtures that stand in nobody's way: shown one after another, found all, undone all, gone all."""

    name: str
    cases: list


GROUPS = [
    # A module that was loaded, and has asked for nothing, is no symptom; nor a kprobe of a known module.
    Group("clean", [
        Case("clean_module", "", "true", "true"),
        module("kprobe", ""),
        program("credentials none", "", title="clean_credentials"),
        program("clean-patched", ""),
        program("clean-reverse-shell", ""),
        program("clean-bpf", ""),
        program("clean-bpf-traces", ""),
        program("clean-relayed-terminal", ""),
        program("clean-borrowed-rights", ""),
        program("clean-loader", ""),
        program("clean-shellcode", ""),
        program("clean-memfd", ""),
        program("clean-traced", ""),
        program("clean-hollowed", ""),
        program("clean-dev-shm", ""),
        program("clean-covered", ""),
        module("same_entries", ""),
        program("wait", "", title="preload_clean", before="LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 "),
    ]),
    Group("shown", [
        module("syscall_table", "syscall_table_hooked", {"number": "180", "expected": "false", "owner": "module vitrine_fixture"}),
        module("text_entry", "kernel_text_patched", {"kind": "entry", "function": "__x64_sys_acct", "owner": "module vitrine_fixture"}),
        module("text_body", "kernel_text_patched", {"kind": "changed", "region": "kernel"}),
        module("idt", "interrupt_table_changed", {"vector": "31", "module": "vitrine_fixture"}),
        module("taint_cleared", "kernel_taint_cleared", {"name": "vitrine_fixture", "taints_untold": "OE"}, account="grep -qx 0 /proc/sys/kernel/tainted"),
        module("constant", "operations_hooked", {"table": "shmem_security_xattr_handler", "owner": "module vitrine_fixture"}),
        module("cstar", "system_call_entry_changed", {"register": "CSTAR", "module": "vitrine_fixture"}),
        module("seq_operations", "operations_hooked", {"table": "tcp4_seq_ops", "owner": "module vitrine_fixture"}),
        module("file_operations", "operations_hooked", {"table": "proc_root_operations", "owner": "module vitrine_fixture"}),
        module("hidden_process", "hidden_process", {"name": "sleep", "listed": "false", "found_by": "pid table"}, number="$(cat /tmp/sleep.pid)"),
        module("unnumbered_process", "hidden_process", {"name": "sleep", "listed": "true", "numbered": "false"}, number="$(cat /tmp/sleep2.pid)",
               account="! test -d /proc/$(cat /tmp/sleep2.pid)"),
        program("credentials ids_written", "credentials_raised", {"raised": "true", "uid": "0", "exec_uid": "1000", "foreign_user": "true"}, "ids_written", account=ROOT_NOW),
        program("credentials kernel_credentials", "credentials_raised", {"raised": "true", "uid": "0", "exec_uid": "1000", "foreign_user": "false"}, "kernel_credentials", account=ROOT_NOW),
        program("credentials stolen_credentials 1", "credentials_shared", {"shared": "true"}, "stolen_credentials"),
        program("patched", "program_text_changed", {"changed": "1", "path": "/tmp/fixture", "uprobe": "false"}, account=PATCHED),
        program("injected", "program_text_changed", {"path": "/tmp/fixture", "debugger": "false"}),
        program("memfd", "executable_memfd", {"path": "/memfd:payload"}),
        program("deleted", "deleted_program", {"path": "/tmp/fixture-gone (deleted)"}),
        program("writable-executable", "writable_and_executable", {"permissions": "rwxp"}),
        program("reverse-shell", "reverse_shell", {"input": "socket:", "shell": "true"}),
        program("relayed-shell", "shell_relayed", {"input": "pipe:", "relay_port": "4446", "relay_outgoing": "true"}),
        program("relayed-terminal", "shell_relayed", {"input": "/dev/pts/", "relay_port": "4447", "relay_outgoing": "true"}),
        program("borrowed-rights", "shell_with_borrowed_rights", {"uid": "1000", "euid": "0"}),
        program("hollowed", "program_hollowed", {"path": "/tmp/fixture", "hollow": "true"}),
        program("shellcode", "system_call_from_anonymous_memory", {"call": "34", "writable": "false"}),
        program("dev-shm", "executed_from_devices", {"path": "/dev/shm/fixture"}),
        program("dev-shm-gone", "executed_from_devices", {"path": "/dev/shm/fixture-gone (deleted)"}),
        Case("covered", "process_covered_by_mount", shown("covered", "covered"),
             "/tmp/fixture uncover $(cat /tmp/covered.pid); " + UNDO.format("covered", "covered"), {"mount_point": "/proc/"}),
        program("masquerade", "kernel_thread_impersonated", {"path": "/tmp/fixture", "cmdline": "[kworker/u4:2-events]"}),
        program("bpf-writes", "bpf_program_tampers", {"name": "shown_writes", "type": "tracepoint", "writes_user": "true", "uid": "0"}),
        program("bpf-replaces", "bpf_program_tampers", {"name": "shown_replaces", "type": "tracing", "overrides": "true", "function": "security_task_getpgid"}),
        program("bpf-signals", "bpf_program_signals", {"name": "shown_signals", "signals": "true", "writes_user": "false"}),
        program("wait", "library_preloaded_from_odd_place", {"by": "LD_PRELOAD", "value": "/tmp/odd.so"}, "preload_variable", "LD_PRELOAD=/tmp/odd.so "),
        Case("preload_file", "library_preloaded_everywhere", "mkdir -p /etc; echo /usr/lib/.hidden.so > /etc/ld.so.preload", "rm /etc/ld.so.preload",
             {"by": "/etc/ld.so.preload", "value": "/usr/lib/.hidden.so", "everywhere": "true"}),
        program("loader", "library_preloaded_everywhere", {"by": "/tmp/loader/ld-linux-x86-64.so.2", "everywhere": "true"}),
        Case("modprobe_path", "kernel_helper_redirected", "echo /tmp/not-modprobe > /proc/sys/kernel/modprobe", "echo /sbin/modprobe > /proc/sys/kernel/modprobe"),
        Case("core_pattern", "core_dumps_redirected", "echo '|/tmp/dumper %p' > /proc/sys/kernel/core_pattern", "echo core > /proc/sys/kernel/core_pattern"),
        Case("required_process_missing", "required_process_missing", "killall -9 must-run", "/tmp/must-run wait >/dev/null 2>&1 </dev/null &",
             {"name": "must-run", "running": "0"}),
    ]),
    # Which of the group above would stand in the way.
    Group("diverting", [
        Case("required_process_stopped", "required_process_missing", "killall -STOP must-run", "killall -CONT must-run", {"name": "must-run", "running": "0"}),
        module("ftrace", "function_diverted_by_module", {"kind": "ftrace", "target": "__x64_sys_acct", "module": "vitrine_fixture"}),
    ]),
    # The module hides first, so that its code is nobody's.
    Group("hidden", [
        Case("hidden_module", "hidden_module", HIDE, UNHIDE, {"name": "vitrine_fixture", "missing_from": "module list"}, UNLISTED.format("")),
        Case("hidden_code", "unknown_kernel_code", "true", UNHIDE, {"known": "false"}),
        module("ftrace", "hook_outside_known_code", {"kind": "ftrace", "target": "__x64_sys_acct", "known": "false"}, title="ftrace, hidden"),
        module("kprobe", "hook_outside_known_code", {"kind": "kprobe", "target": "__x64_sys_swapoff", "known": "false"}, title="kprobe, hidden"),
        module("seq_operations", "operations_hooked", {"table": "tcp4_seq_ops", "known": "false"}, title="seq_operations, hidden"),
    ]),
    Group("deep", [
        Case("hidden_module_deep", "hidden_module", MODULE.format("show hidden_module 1"), UNHIDE,
             {"name": "vitrine_fixture", "missing_from": "module list, sysfs"}, UNLISTED.format("!")),
    ]),
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
        self.environment = {}

    def fail(self, text):
        self.failures.append(f"{self.label}: {text}")
        print(f"  FAILED {text}", flush=True)

    def run(self, folder):
        # One guest with nothing in it but its actors, and the fixtures in the same afterwards.
        self.environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "LANG": "C.UTF-8"}
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
            guest.run("/tmp/sleep 100001 >/dev/null 2>&1 </dev/null & echo $! > /tmp/sleep2.pid")
            status, text = guest.run("insmod /tmp/vitrine_fixture.ko")
            if status != 0:
                return self.fail(f"insmod: {text.decode(errors='replace')}")
            scanner = Scanner(self.vitrine, guest, folder, "--require", "must-run")
            try:
                for finding in scanner.settle(8.0):
                    if not expected_of_actors(finding, actors):
                        self.fail(f"a module that does nothing: {finding['symptom']}: {finding['message']}")
                for group in GROUPS:
                    cases = [c for c in group.cases if not self.only or {c.name, c.symptom, group.name} & self.only]
                    if cases and all(not case.symptom for case in cases):
                        self.try_clean(guest, scanner, cases)
                    elif cases:
                        self.try_group(guest, scanner, cases, folder)
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

    def show(self, guest, case):
        status, text = guest.run(case.show)
        if status != 0 or ("/tmp/fixture" in case.show and b"shown" not in text):
            self.fail(f"{case.name}: cannot be shown here: {text.decode(errors='replace').strip()} ({status})")

    def try_clean(self, guest, scanner, cases):
        """What looks like a symptom and is none."""
        for case in cases:
            self.show(guest, case)
        for finding in scanner.settle(6.0):
            if finding["state"] == "fresh":
                self.fail(f"clean: {finding['symptom']}: {finding['message']}")
        if any(case.name == "kprobe" for case in cases):  # else the lists are empty
            self.check_accounts(guest)
        for case in cases:
            guest.run(case.undo)
        for case in cases:
            print(f"  {case.name:26} silent", flush=True)

    def check_accounts(self, guest):
        """What is registered, by the kernel's own account of it."""
        guest.run("mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null; mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null")
        _, text = guest.run("cat /sys/kernel/debug/kprobes/list")
        listed = {(line.split()[2].split(b"+")[0].decode()) for line in text.splitlines() if len(line.split()) > 2}
        hooks = self.rows(guest, "hooks")
        ours = {row["target"] for row in hooks if row["kind"] == "kprobe"}
        if not listed or ours != listed:
            self.fail(f"kprobes: the guest lists {sorted(listed)}, the view {sorted(ours)}")
        _, text = guest.run("cat /sys/kernel/tracing/enabled_functions")
        listed = {line.split()[0].decode() for line in text.splitlines() if b" (" in line}
        ours = {name for row in hooks if row["kind"].startswith("ftrace") for name in row["targets"] or [row["target"]]}
        if not listed or ours != listed:
            self.fail(f"ftrace: the guest has enabled {sorted(listed)}, the view {sorted(ours)}")
        _, text = guest.run("/tmp/fixture bpf-list")
        listed = {tuple(line.split()[:1] + line.split()[2:]) for line in text.decode().splitlines()}
        ours = {(str(r["id"]), r["name"] or "-", r["tag"], str(r["uid"])) for r in self.rows(guest, "bpf_programs")}
        if not listed or ours != listed:
            self.fail(f"eBPF programs: the guest lists {sorted(listed)}, the view {sorted(ours)}")
        print(f"  accounts: kprobes, ftrace and {len(ours)} eBPF programs are the kernel's own", flush=True)

    def rows(self, guest, view):
        done = subprocess.run([self.vitrine, "show", view, str(guest.pid), "--json"], capture_output=True, text=True, env=self.environment)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def try_group(self, guest, scanner, cases, folder):
        scanner.settle(2.0)
        open_cases, shown = [], {}
        for case in cases:
            begin = time.monotonic()
            self.show(guest, case)
            shown[case.name] = begin
            if case.account and guest.run(case.account)[0] != 0:
                self.fail(f"{case.name}: the guest itself does not say so: {case.account}")
            open_cases.append(case)
        end, heard = time.monotonic() + PATIENCE, []
        while open_cases and (left := end - time.monotonic()) > 0:
            when, finding, _ = scanner.wait(lambda f: True, left)
            if when is None:
                break
            heard.append(finding)
            for case in [c for c in open_cases if shows(finding, c)]:
                open_cases.remove(case)
                case.identity = finding["identity"]
                self.found.append(max(0.0, when - shown[case.name]))
                print(f"  {case.name:26} {case.symptom}: after {self.found[-1]:5.2f} s", flush=True)
        for case in open_cases:
            self.fail(f"{case.name}: no finding {case.symptom}; there were {[(f['symptom'], f['evidence']) for f in heard if f['symptom'] == case.symptom][:4]}")
        if "syscall_table" in shown:
            self.check_images(guest, folder, cases)
        expected = {case.identity: case for case in cases if case.identity}
        undone = {}
        for case in reversed(cases):
            undone[case.name] = time.monotonic()
            guest.run(case.undo)
        end = time.monotonic() + PATIENCE
        while expected and (left := end - time.monotonic()) > 0:
            when, finding, _ = scanner.wait(lambda f: f["state"] == "gone" and f["identity"] in expected, left)
            if when is None:
                break
            self.gone.append(max(0.0, when - undone[expected.pop(finding["identity"]).name]))
        for case in expected.values():
            self.fail(f"{case.name}: undone, and still there")

    def check_images(self, guest, folder, cases):
        """The same moment as an image of each kind, with and without the registers: the same findings."""
        with guest.paused():
            live = {key: words for key, words in self.scan_once(str(guest.pid)).items() if key[0] not in BEYOND_RAM}
            core = Path(folder) / "memory.elf"
            for kind in ("elf", "elf-paging", "lime", "raw"):
                path = Path(folder) / f"memory.{kind}"
                if kind == "lime":
                    images.write_lime(core, path)
                elif kind == "raw":
                    images.write_raw(guest, path)
                else:
                    guest.dump(path, paging=kind == "elf-paging")
                found = self.scan_once(str(path))
                for what in sorted(set(live) - set(found)):
                    self.fail(f"image {kind}: {what[0]} is not found, which the machine shows: {live[what]}")
                for what in sorted(set(found) - set(live)):
                    self.fail(f"image {kind}: {what[0]} is found, and not on the machine: {found[what]}")
                print(f"  image {kind:20} {len(found)} findings, as the machine has", flush=True)
                if path != core:
                    path.unlink()
            core.unlink()

    def scan_once(self, machine):
        """Findings by symptom and identity. Text that differs from the first look is for who looked before."""
        done = subprocess.run([self.vitrine, "scan", machine, "--json", "--require", "must-run"], capture_output=True, env=self.environment, text=True, timeout=120)
        if done.returncode != 4:
            self.fail(f"scan {machine}: status {done.returncode}: {done.stderr}")
        return {(f["symptom"], f["identity"]): f["message"] for f in map(json.loads, done.stdout.splitlines())}


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
