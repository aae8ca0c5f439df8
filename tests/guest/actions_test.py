#!/usr/bin/env python3
"""What scripts do to a machine, seen from inside the guest, from QEMU's monitor, and by other tools.

    actions_test.py --vitrine build/bin/vitrine [--kernel 6.1] [--only NAME ...]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import run_cases  # noqa: E402
from watched_guest import MAC  # noqa: E402
from vitrine_guests import Guest  # noqa: E402


class Test:
    def __init__(self, guest, vitrine, folder):
        self.guest, self.vitrine, self.folder = guest, vitrine, folder

    def status(self):
        return self.guest.qmp("query-status")["status"]

    def script(self, text, *words, status=0):
        done = subprocess.run([self.vitrine, "run", "-e", text, str(self.guest.pid), "--duration", "100ms", *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def said(self, command):
        status, out = self.guest.run(command)
        assert status == 0, (status, out)
        return out.decode().strip()

    def test_permissions(self):
        control = ("Pause()", "Resume()", "Isolate()", "Reconnect()", "Throttle(50)")
        writes = ("WriteMemory(0xffffffff81000000, 1)", "WriteRegister(rdx, 0)")
        for actions, permission in ((control, "--allow-control"), (writes, "--allow-writes")):
            for action in actions:
                probe = "ExecuteAt(do_exit)" if "Register" in action else "Start"
                said = self.script(f"// a comment\n{probe} {{ {action} }}", status=1)
                assert permission in said and "<-e>:2:" in said, said
        assert "cannot be called from outside" in self.script("Start { Kill(1) }", "--allow-control", status=1)
        # The plan says the same, whatever is allowed.
        for action, status in (("Kill(1)", 1), ("WriteRegister(CR3, 0)", 1), ("Pause()", 0), ("Print(\"a\")", 0)):
            probe = "ExecuteAt(do_exit)" if "Register" in action else "Start"
            done = subprocess.run([self.vitrine, "check", "--vm", str(self.guest.pid), "-e", f"{probe} {{ {action} }}"], capture_output=True, text=True, timeout=120)
            assert done.returncode == status and ("cannot be had" in done.stdout) == bool(status), (action, done)
        assert self.status() == "running"
        return "refused before the start and by the plan, with the option; Kill with its reason"

    def test_a_rate_that_the_user_sets(self):
        words = []
        for probe, options in (("ProcessStart", ("--poll", "--poll-period", "50ms")), ("ExecuteAt(do_exit)", ())):
            text = f"// a comment\nStart {{ Print(\"started\") }}\n{probe} {{ Print(\"x\") }}"
            with tempfile.TemporaryFile("w+") as out:
                process = subprocess.Popen([self.vitrine, "run", "--json", "-e", text, str(self.guest.pid), "--rate-limit", "1", *options], stdout=out, stderr=subprocess.DEVNULL)
                for _ in range(600):
                    out.seek(0)
                    if "started" in out.read() or process.poll() is not None:
                        break
                    time.sleep(0.1)
                self.guest.run("for i in 1 2 3 4 5 6 7 8; do sleep 0.3 & done; wait")
                time.sleep(0.3)
                process.send_signal(2)
                process.wait(timeout=60)
                out.seek(0)
                lines = [json.loads(line) for line in out.read().splitlines()]
            notes = [line for line in lines if line.get("kind") == "thinned"]
            assert [(note["event"], note["line"], note["probe"]) for note in notes] == [(probe, 3, 2)], lines
            assert "more often than 1 times a second" in notes[0]["text"] and lines[-1]["lost_firings"] > 0 and process.returncode == 3, lines
            words.append(f"{probe}: {lines[-1]['lost_firings']} left out")
        return "; ".join(words) + "; each told by a note with its probe"

    def test_each_change_is_a_record(self):
        text = ('Start { Pause() Resume() WriteMemory(0xffff900000000000, (u8)1) Isolate() Reconnect() Screenshot("' + str(self.folder / "r.png") + '") Stop() Pause() }')
        done = subprocess.run([self.vitrine, "run", "--json", "-e", text, str(self.guest.pid), "--allow-control", "--allow-writes"], capture_output=True, text=True, timeout=120)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        changes = [(line["text"].split()[0], line["failed"]) for line in lines if line["type"] == "change" and line["version"] == 1]
        assert [failed for _, failed in changes] == [False, False, True, False, False, False], lines
        assert lines[-1]["type"] == "end" and done.returncode == 3, (done.returncode, lines[-1])
        assert self.status() == "running"
        return "paused, let run, a write that failed, isolated, reconnected, a picture; nothing after Stop()"

    def test_code_write(self):
        old = self.script("Start { Print(\"%x\\n\", u64(__x64_sys_getuid)) }").split()[0]
        assert self.said("id -u") == "0"
        told = self.script("Start { WriteMemory(__x64_sys_getuid, (uint64_t) 0xc300000539b8) }", "--allow-writes")  # mov eax, 1337; ret
        uid = self.said("id -u")
        self.script(f"Start {{ WriteMemory(__x64_sys_getuid, (uint64_t) 0x{old.removeprefix('0x')}) }}", "--allow-writes")
        assert uid == "1337" and self.said("id -u") == "0", uid
        assert re.search(r"changed: 20\S+Z wrote 8 bytes at 0x", told), told
        return "id -u says 0, then 1337 by code that was written, then 0"

    def test_data_write(self):
        before = self.said("hostname")
        self.script("Start { WriteMemory(init_uts_ns + offsetof(struct uts_namespace, name.nodename), \"written\") }", "--allow-writes")
        assert self.said("hostname").startswith("written"), self.said("hostname")
        self.said(f"hostname {before}")
        return "the guest's host name"

    def test_pause(self):
        self.script("Start { Pause() }", "--allow-control")
        assert self.status() == "paused"
        self.script("Start { Resume() }", "--allow-control")
        assert self.status() == "running"
        self.said("true")
        return "paused beyond the script's end, then running"

    def test_pause_at_an_event(self):
        text = ("ExecuteAt(do_mkdirat) { Print(\"%s\\n\", process.name) WriteRegister(rdx, 0) Pause() }\n"
                "Syscall(mkdir) { Print(\"%s\\n\", string(arg0)) }")
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen([self.vitrine, "run", "-e", text, str(self.guest.pid), "--allow-control", "--allow-writes"], stdout=out, stderr=subprocess.STDOUT)
            said = []
            try:
                time.sleep(4)
                busy = threading.Thread(target=lambda: said.append(self.guest.run("mkdir /run/by-a-test")))
                busy.start()
                for _ in range(300):
                    if self.status() in ("debug", "paused"):
                        break
                    time.sleep(0.1)
                assert self.status() in ("debug", "paused"), self.status()
                time.sleep(1)
                assert not said and self.status() != "running", said
                self.guest.qmp("cont")
                busy.join(timeout=60)
                assert said == [(0, b"")], said
            finally:
                process.send_signal(2)
                process.wait(timeout=60)
                out.seek(0)
                text = out.read()
        assert "/run/by-a-test" in text and ("mkdir" in text or "exe" in text), text
        assert "wrote 0x0 to rdx" in text and "paused the machine" in text, text
        assert self.said("stat -c %a /run/by-a-test") == "0"
        assert not [one["label"] for one in self.guest.qmp("query-chardev") if one["label"].startswith("vitrine")]
        assert self.status() == "running"
        return "stopped at the call until someone let it run; the folder has the mode of the register that was written"

    def test_links(self):
        ping = "ping -c 1 -W 2 10.9.0.2 >/dev/null && echo up || echo down"
        assert self.said(ping) == "up"
        self.script("Start { Isolate() }", "--allow-control")
        down = self.said(ping)
        self.script("Start { Reconnect() }", "--allow-control")
        time.sleep(1)
        assert down == "down" and self.said(ping) == "up"
        return "no packet while isolated"

    def test_files(self):
        png, core, elf = (self.folder / name for name in ("s.png", "init.core", "ram.elf"))
        self.script(f"Start {{ Screenshot(\"{png}\") DumpProcess(1, \"{core}\") Snapshot(\"{elf}\") }}")
        assert png.read_bytes().startswith(b"\x89PNG")
        shown = subprocess.run(["gdb", "-batch", "-c", str(core), "-ex", "info registers rip", "-ex", "x/2bx $rip-2"], capture_output=True, text=True)
        assert "0x0f\t0x05" in shown.stdout, shown.stdout + shown.stderr  # behind a system call
        rows = subprocess.run([self.vitrine, "ps", f"file:{elf}", "--json"], capture_output=True, text=True)
        assert rows.returncode == 0 and '"name":"kthreadd"' in rows.stdout.replace(" ", ""), rows.stdout[:300] + rows.stderr
        assert self.status() == "running"
        return f"a picture; a core of init that gdb reads; {elf.stat().st_size >> 20} MiB that vitrine reads"

    def test_throttle(self):
        count = "i=0; t=$(($(cut -d. -f1 /proc/uptime) + 3)); while [ $(cut -d. -f1 /proc/uptime) -lt $t ]; do i=$((i+1)); done; echo $i"
        process = subprocess.Popen([self.vitrine, "run", "-e", "Start { Throttle(20) }", str(self.guest.pid), "--allow-control"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            time.sleep(2)
            begin = time.monotonic()
            share = [self.status() == "running" for _ in range(100) if not time.sleep(0.017)]
            assert process.poll() is None
        finally:
            process.send_signal(2)
            text, _ = process.communicate(timeout=60)
        assert "throttled the machine to 20 %" in text, text
        part = sum(share) / len(share)
        assert 0.08 < part < 0.45, part
        time.sleep(0.5)
        assert all(self.status() == "running" for _ in range(20))
        return f"ran {part:.0%} of {time.monotonic() - begin:.1f} s, throttled to 20 %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", required=True)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    extra = f"-netdev user,id=n0,net=10.9.0.0/24 -device virtio-net-pci,netdev=n0,mac={MAC}"
    with Guest(options.kernel, cpus=options.cpus, memory=256, extra=extra) as guest, tempfile.TemporaryDirectory() as folder:
        guest.run("for d in /sys/class/net/*; do [ \"$(cat $d/address)\" = " + MAC + " ] && n=${d##*/}; done; ifconfig $n 10.9.0.15 netmask 255.255.255.0 up; true")
        test = Test(guest, options.vitrine, Path(folder))
        failed = run_cases(test, options.only)
    print(f"{'FAILED' if failed else 'passed'} on {options.kernel} with {options.cpus} CPUs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
