"""A guest whose events are watched by watch_probe, and a QEMU that must be again what it was before.

What QEMU holds afterwards (objects, character devices, trace events, descriptors, its state) must be what it held
before, also when whoever watched was killed by SIGKILL.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import kill_and_reap, run_cases  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

EVENTS = ("input_event_key_qcode", "input_event_key_number", "ps2_put_keycode", "serial_write")
MAC = "52:54:00:12:34:56"


class Watch:
    """watch_probe, as it runs."""

    def __init__(self, program, guest, script, *words):
        self.folder = Path(tempfile.mkdtemp(prefix="vitrine-watch-"))
        self.path = self.folder / "lines"  # a file: a pipe that nobody empties would hold up the guest
        with open(self.path, "wb") as lines:
            self.process = subprocess.Popen(
                [program, str(guest.pid), script, "--out", str(self.folder), *words],
                stdin=subprocess.PIPE, stdout=lines, start_new_session=True,
            )
        while True:
            ended = self.process.poll() is not None
            if b'{"started":true}' in self.path.read_bytes():
                break
            assert not ended, f"it did not start: {self.path.read_text()}"
            time.sleep(0.01)
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        kill_and_reap(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        assert self.process.returncode == 0, self.process.returncode
        return self.lines

    def fires(self, name=None):
        return [line for line in self.lines if "fire" in line and name in (None, line["name"])]

    def stream(self, probe):
        path = self.folder / f"stream-{probe}"
        return path.read_bytes() if path.exists() else b""


class WatchedGuest:
    def __init__(self, guest, program, kills=0):
        self.guest, self.program, self.kills = guest, program, kills
        self.before = self.state()

    def state(self):
        qmp = self.guest.qmp
        return {
            "objects": sorted(one["name"] for one in qmp("qom-list", path="/objects")),
            "devices": sorted(one["label"] for one in qmp("query-chardev") if not one["label"].startswith("#")),
            "events": {name: qmp("trace-event-get-state", name=name)[0]["state"] for name in EVENTS},
            "files": qmp("query-fdsets"),
            "status": qmp("query-status")["status"],
        }

    def settled(self, seconds=8.0):
        """QEMU is as it was, after at most so long. Returns how long it took."""
        begin = time.monotonic()
        while True:
            now = self.state()
            if now == self.before:
                return time.monotonic() - begin
            assert time.monotonic() - begin < seconds, f"left behind: {now} instead of {self.before}"
            time.sleep(0.05)

    def alive(self):
        status, out = self.guest.run("echo alive")
        assert (status, out) == (0, b"alive\n"), (status, out)

    def watch(self, script, *words):
        return Watch(self.program, self.guest, script, *words)

    def planned(self, script, sources="gdbstub"):
        """The plan's lines of a script that is refused."""
        done = subprocess.run([self.program, str(self.guest.pid), script, "--sources", sources], input="", capture_output=True, text=True, timeout=100)
        assert done.returncode in (1, 3), (done.returncode, done.stdout)
        return done.stdout

    def kill_both(self, watch):
        children = Path(f"/proc/{watch.process.pid}/task/{watch.process.pid}/children").read_text().split()
        assert children, "there is no guardian"
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        watch.process.kill()
        watch.process.wait()


def run(kind, description, extra=""):
    """The command line of a test: one guest for all cases of `kind`, a WatchedGuest. `extra`: QEMU's further options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", required=True)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    card = f" -netdev user,id=n0,net=10.9.0.0/24 -device virtio-net-pci,netdev=n0,mac={MAC}"
    with Guest(options.kernel, cpus=options.cpus, memory=256, reboot=True, programs=("/usr/bin/tcpdump",), extra=extra + card) as guest:
        guest.run("for d in /sys/class/net/*; do [ \"$(cat $d/address)\" = " + MAC + " ] && n=${d##*/}; done; echo $n >/run/card; ifconfig $n 10.9.0.15 netmask 255.255.255.0 up; true")
        failed = run_cases(kind(guest, options.probe, options.kills), options.only)
    print(f"{'FAILED' if failed else 'passed'} on {options.kernel} with {options.cpus} CPUs")
    return 1 if failed else 0
