#!/usr/bin/env python3
"""Event sources and streams against the guest's own account, and QEMU as it was before.

    sources_test.py --probe build/bin/watch_probe [--kernel 6.1] [--only NAME ...]

One guest serves all. Whoever is killed here is killed by SIGKILL; what QEMU holds afterwards
(objects, character devices, trace events, its state) must be what it held before.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import run_cases  # noqa: E402
from vitrine_guests import Guest, initramfs, kernels  # noqa: E402

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
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
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


def packets(path):
    """The bytes of each packet of a capture, in hexadecimal."""
    done = subprocess.run(["tcpdump", "-r", path, "-nn", "-xx", "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = []
    for line in done.stdout.splitlines():
        if line.startswith("\t0x"):
            rows[-1] += "".join(line.split(":", 1)[1].split())
        else:
            rows.append("")
    return rows


class Test:
    def __init__(self, guest, program):
        self.guest, self.program = guest, program
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

    # -- polling

    def test_polling(self):
        with self.watch("ProcessStart { Print(\"x\") }\nProcessExec { Print(\"%s\", process.path) }\nProcessExit { Print(\"x\") }", "--sources", "polling", "--poll", "50") as watch:
            for _ in range(5):
                self.guest.run("sleep 0.4")
            time.sleep(0.3)
            lines = watch.stop()
            pids = [f["moment"]["process.pid"] for f in watch.fires("ProcessExit") if f["moment"]["process.name"] == "sleep"]
            assert len(set(pids)) == 5, pids
            started, ran = ({f["moment"]["process.pid"] for f in watch.fires(name)} for name in ("ProcessStart", "ProcessExec"))
            assert set(pids) <= started and set(pids) <= ran, (pids, started, ran)
            assert any("the kernel counted" in line.get("loss", "") for line in lines), lines
        return f"5 processes of 0.4 s: start, exec and exit of each, at a look each 50 ms"

    def test_polling_misses_and_says_so(self):
        with self.watch("ProcessStart { Print(\"x\") }", "--sources", "polling", "--poll", "1000") as watch:
            self.guest.run("for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done")
            lines = watch.stop()
            word = next(line["loss"] for line in lines if "the kernel counted" in line.get("loss", ""))
            seen, forks = map(int, re.search(r"(\d+) new processes seen; the kernel counted (\d+) forks", word).groups())
            assert forks >= 10 and seen < forks, word
        return word

    def test_a_limit_for_polling(self):
        with self.watch("Configuration { PollPeriod: 50ms RateLimit: 2 }\nProcessStart { Print(\"x\") }", "--sources", "polling") as watch:
            begin = time.monotonic()
            self.guest.run("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 1 & done; sleep 1.5")
            lines = watch.stop()
            most = 4 + 2 * (time.monotonic() - begin) + 1
        plan = next(line for line in lines if "plan" in line)
        assert "every 50ms" in plan["mechanism"] and "within 50ms may be missed" in plan["reason"], plan
        note = next(line for line in lines if line.get("note") == "thinned")
        assert note["probe"] == 0 and "more often than 2 times a second" in note["text"], note
        fired, lost = len(watch.fires()), next(line["lost"] for line in lines if "lost" in line)
        assert 4 <= fired <= most and fired + lost >= 16, (fired, lost, most)
        return f"{fired} firings, {lost} counted as left out, of 16 processes at once; the script's own period and limit"

    # -- gdbstub

    def test_breakpoints(self):
        script = ("ProcessStart { Print(\"x\") }\nProcessExec { Print(\"x\") }\nProcessExit { Print(\"x\") }\n"
                  "ExecuteAt(do_exit) { Print(\"x\") }\nReturn(do_sys_openat2) { Print(\"x\") }")
        with self.watch(script, "--sources", "gdbstub", "--rate", "1000") as watch:
            status, out = self.guest.run("for i in 1 2 3 4 5; do sh -c 'exit 7'; done; cat /proc/version")
            assert status == 0 and b"Linux version" in out, (status, out)
            watch.stop()
        exits = [f for f in watch.fires("ProcessExit") if f["event"]["code"] == 7 << 8]
        assert len(exits) == 5, watch.fires("ProcessExit")
        # kthreadd (pid 2) makes a kworker whenever the kernel wants one: it is born in the window and need not end there.
        workers = {f["subject"] for f in watch.fires("ProcessStart") if f["event"]["parent_pid"] == 2}
        born = [f["subject"] for f in watch.fires("ProcessStart") if f["subject"] not in workers]
        ended = [f["subject"] for f in watch.fires("ProcessExit") if f["subject"] not in workers]
        assert len(born) == len(ended), (born, ended, workers)
        assert len(watch.fires("ExecuteAt")) == len(watch.fires("ProcessExit"))  # no threads among them
        assert len(watch.fires("ProcessExec")) >= 7 and len(watch.fires("Return")) >= 1
        assert any(0 <= f["moment"]["ret"] < 1024 for f in watch.fires("Return"))
        self.settled()
        self.alive()
        return f"{len(watch.fires())} events: {len(exits)} exits with status 7 of 5"

    def test_system_calls(self):
        script = "Syscall(getppid) { Print(\"x\") }\nSyscall(uname) { Print(\"x\") }\nSyscallReturn(mkdir) { Print(\"x\") }"
        with self.watch(script, "--sources", "gdbstub", "--rate", "1000") as watch:
            self.guest.run("mkdir /tmp/a-folder /tmp/a-folder; rmdir /tmp/a-folder; uname -r")
            watch.stop()
        returns = [f["moment"]["ret"] for f in watch.fires("SyscallReturn")]
        assert returns == [0, 2**64 - 17], returns  # EEXIST
        assert all(f["moment"]["syscall.name"] == "mkdir" for f in watch.fires("SyscallReturn"))
        # Its function is called newuname; __x64_sys_uname is there and does nothing for anybody.
        assert any(f["moment"]["syscall.name"] == "uname" for f in watch.fires("Syscall")), watch.fires("Syscall")
        self.settled()
        return "mkdir twice: 0 and -EEXIST"

    def test_watchpoint(self):
        # jiffies_lock's neighbour would do; the hostname is written by one call alone.
        with self.watch("WriteAt(init_uts_ns, 400) { Print(\"x\") }", "--sources", "gdbstub", "--rate", "1000") as watch:
            self.guest.run("hostname a-name-of-a-test; hostname vitrine")
            watch.stop()
        fires = watch.fires("WriteAt")
        assert fires and all(f["event"]["is_write"] == 1 for f in fires), fires[:3]
        assert any(int(f["event"]["value"] or 0).to_bytes(8, "little").startswith(b"a-name") for f in fires), fires[:3]
        self.settled()
        return f"{len(fires)} writes of the host name"

    def test_thinning(self):
        with self.watch("Syscall { Print(\"x\") }", "--sources", "gdbstub", "--rate", "10") as watch:
            begin = time.monotonic()
            self.guest.run("for i in 1 2 3 4 5 6 7 8 9 10; do cat /proc/self/status >/dev/null; done")
            took = time.monotonic() - begin
            lines = watch.stop()
        assert any(line.get("note") == "thinned" for line in lines), lines
        assert any("switched off" in line.get("loss", "") for line in lines), lines
        self.settled()
        return f"10 cats in {took:.1f} s under a probe on every system call; {len(watch.fires())} fired"

    def test_killed_with_breakpoints(self):
        times = []
        for i in range(self.kills):
            with self.watch("ExecuteAt(do_exit) { Print(\"x\") }\nSyscall(openat) { Print(\"x\") }", "--sources", "gdbstub", "--rate", "1000") as watch:
                said = []
                busy = threading.Thread(target=lambda: said.append(self.guest.run("for i in 1 2 3; do ls /proc/self >/dev/null; done; echo done")))
                busy.start()
                time.sleep(0.05 * (i % 5))
                watch.process.send_signal(signal.SIGKILL)
                watch.process.wait()
                times.append(self.settled())
                busy.join(timeout=100)
                assert said == [(0, b"done\n")], said
        self.alive()
        return f"{self.kills} kills: as before after at most {max(times):.2f} s"

    def test_killed_with_the_guardian(self):
        with self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as watch:
            self.kill_both(watch)
        with self.watch("ProcessExit { Print(\"x\") }\nCaptureKeyboardInput(\"k\")", "--sources", "gdbstub,streams") as watch:
            self.alive()
            lines = watch.stop()
        assert any("cleared the breakpoints" in line.get("text", "") for line in lines), lines
        self.settled()
        self.alive()
        return "cleared at the next start, which said so"

    def kill_both(self, watch):
        children = Path(f"/proc/{watch.process.pid}/task/{watch.process.pid}/children").read_text().split()
        assert children, "there is no guardian"
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        watch.process.kill()
        watch.process.wait()

    def test_an_end_while_qemu_is_busy(self):
        """QEMU hears nothing for a while, as on a host with too much to do: the guest must not be left stopped."""
        times = []
        for seconds in (0.7, 1.6, 2.8, 5.0):
            with self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as watch:
                os.kill(self.guest.pid, signal.SIGSTOP)
                try:
                    watch.process.stdin.close()
                    time.sleep(seconds)
                finally:
                    os.kill(self.guest.pid, signal.SIGCONT)
                watch.process.wait(timeout=60)
            times.append(self.settled(20))
            self.alive()
            status, _ = self.guest.run("for i in 1 2 3; do /bin/true; done")  # no breakpoint is left to stop it
            assert status == 0
            self.settled()
        return f"as before within {max(times):.2f} s each time"

    def test_a_gdb_was_here_before(self):
        """It knows of several processes, and QEMU then speaks of them for good: "D" alone removes no breakpoint."""
        path = self.guest.folder / "gdb.sock"
        self.guest.human(f"gdbserver unix:{path},server=on,wait=off")
        words = ["gdb", "-nx", "-batch", "-ex", "set architecture i386:x86-64", "-ex", f"target remote {path}", "-ex", "detach"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=60)
        self.guest.human("gdbserver none")
        self.guest.qmp("cont")
        assert "detached" in said.stdout, (said.stdout, said.stderr)
        for kill in (False, True):
            with self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as watch:
                self.alive()
                self.guest.run("/bin/true")
                if kill:
                    watch.process.kill()
                    watch.process.wait()
                else:
                    watch.stop()
                    assert watch.fires("ExecuteAt"), watch.lines
            self.settled()
            self.guest.run("/bin/true; /bin/true")
            time.sleep(0.2)
            self.settled()
            self.alive()
        return "no breakpoint is left, after an end and after SIGKILL"

    def test_a_debugged_machine_is_refused(self):
        self.guest.human("gdbserver tcp:127.0.0.1:0")
        try:
            done = subprocess.run([self.program, str(self.guest.pid), "ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub"], input="", capture_output=True, text=True, timeout=60)
            assert done.returncode == 3 and "someone debugs it" in done.stdout, done.stdout
        finally:
            self.guest.human("gdbserver none")
        self.settled()
        return "refused, with the reason"

    # -- streams

    def test_network(self):
        with self.watch(f"CaptureNetwork({MAC}, \"n\")", "--sources", "streams") as watch:
            status, out = self.guest.run("ping -c 5 -i 0.2 -s 300 10.9.0.2; wget -q -O /dev/null http://10.9.0.2:1/ 2>/dev/null; true")
            time.sleep(0.2)
            watch.stop()
            path = watch.folder / "stream-0"
            shown = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.len", "-e", "_ws.col.Protocol", "-e", "ip.src"], capture_output=True, text=True)
            assert shown.returncode == 0, shown.stderr
            assert not [line for line in shown.stderr.splitlines() if "Running as user" not in line], shown.stderr
            rows = [line.split("\t") for line in shown.stdout.splitlines()]
        echoes = [row for row in rows if row[1] == "ICMP" and row[0] == "342"]
        assert len(echoes) == 10, rows
        assert b"5 packets received" in out, out
        self.settled()
        return f"{len(rows)} packets, 10 echoes of 5 pings; tshark had nothing to say"

    def test_network_as_the_guest_saw_it(self):
        """Packet for packet what tcpdump saw in the guest, between two pings that mark begin and end."""
        begin, end = "b5", "e7"
        self.guest.run("/usr/bin/tcpdump -Z root -i $(cat /run/card) -U -w /run/seen.pcap >/run/tcpdump.log 2>&1 & echo $! >/run/tcpdump.pid")
        for _ in range(200):
            if b"listening on" in self.guest.run("cat /run/tcpdump.log")[1]:
                break
            time.sleep(0.1)
        with self.watch(f"CaptureNetwork({MAC}, \"n\")", "--sources", "streams") as watch:
            mark = "ping -c 1 -s 200 -p {} 10.9.0.2; "
            status, out = self.guest.run(
                mark.format(begin) + "ping -c 5 -i 0.2 -s 1400 10.9.0.2; for i in 1 2 3; do wget -q -T 3 -O /dev/null http://10.9.0.2:1/; done; "
                "nc -u -w 1 10.9.0.2 9 </proc/version; arping -c 2 -I $(cat /run/card) 10.9.0.2; " + mark.format(end) + "sleep 1; kill $(cat /run/tcpdump.pid); true", 100)  # fmt: skip
            assert status == 0, out
            time.sleep(0.3)
            watch.stop()
            ours = packets(watch.folder / "stream-0")
        seen = watch.folder.with_suffix(".pcap")
        seen.write_bytes(self.guest.file("/run/seen.pcap"))
        theirs = packets(seen)
        seen.unlink()

        def between(rows):
            marks = [[i for i, row in enumerate(rows) if mark * 100 in row] for mark in (begin, end)]
            assert all(len(one) == 2 for one in marks), [len(one) for one in marks]  # each there and back
            return rows[marks[0][0] : marks[1][1] + 1]

        ours, theirs = between(ours), between(theirs)
        card = MAC.replace(":", "")
        for what, mine in (("sent", lambda row: row[12:24] == card), ("received", lambda row: row[12:24] != card)):
            have, expected = [row for row in ours if mine(row)], [row for row in theirs if mine(row)]
            first = next((i for i, (a, b) in enumerate(zip(have, expected)) if a != b), 0)
            assert have == expected, f"{what}: {len(have)} of ours, {len(expected)} of tcpdump's; first difference {first}: {have[first][:160]} {expected[first][:160]}"
        self.settled()
        return f"{len(ours)} packets, those of tcpdump in the guest, byte for byte; {sum(len(row) for row in ours) // 2} bytes"

    def test_console(self):
        """A machine with one serial port: what a capture says is what QEMU wrote to the port, from a place on."""
        with tempfile.TemporaryDirectory(prefix="vitrine-console-") as folder:
            log = Path(folder) / "console.log"
            say = "i=0; while true; do echo line $i of the console; i=$((i+1)); sleep 0.02; done"
            kernel = kernels.fetch(self.guest.label)
            process = subprocess.Popen([
                "qemu-system-x86_64", "-name", "console", "-accel", "tcg", "-m", "256", "-display", "none", "-nic", "none", "-no-reboot",
                "-kernel", str(kernel.image), "-initrd", str(initramfs.build(kernel)), "-serial", f"file:{log}", "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
                "-append", f'console=ttyS0 panic=-1 loglevel=3 rdinit=/bin/sh -- -c "{say}"'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            try:
                for _ in range(600):
                    if log.exists() and b"line 3 of" in log.read_bytes():
                        break
                    assert process.poll() is None, "the machine ended"
                    time.sleep(0.1)
                with Watch(self.program, process, "CaptureConsole(\"c\")", "--sources", "streams") as watch:
                    time.sleep(2)
                    watch.stop()
                    seen = watch.stream(0)
                written = log.read_bytes()
            finally:
                process.kill()
                process.wait()
        numbers = [int(number) for number in re.findall(rb"^line (\d+) of the console\r$", seen, re.M)]
        assert len(numbers) >= 5 and numbers == list(range(numbers[0], numbers[0] + len(numbers))), seen[-300:]
        assert written.count(seen) == 1, (seen[:100], seen[-100:])
        return f"{len(numbers)} lines, {len(seen)} bytes, one piece of what QEMU wrote to the port"

    def test_disk(self):
        """Reads and writes of a disk: their places and sizes are those that the guest asked for, past its cache."""
        with self.watch("CaptureDisk(*, \"d\")", "--sources", "streams") as watch:
            status, out = self.guest.run("dd if=/dev/vda of=/dev/null bs=64k skip=16 count=4 iflag=direct 2>&1 && "
                                         "dd if=/proc/kallsyms of=/dev/vda bs=4096 seek=1000 count=3 oflag=direct iflag=fullblock 2>&1")  # fmt: skip
            assert status == 0, out
            time.sleep(0.5)
            watch.stop()
            rows = [line.split() for line in watch.stream(0).decode().splitlines()]
        reads = [(int(at), int(size)) for _, what, at, size in rows if what == "read"]
        writes = [(int(at), int(size)) for _, what, at, size in rows if what == "write"]
        for i in range(4):
            assert ((16 + i) << 16, 1 << 16) in reads, reads
        assert writes == [((1000 + i) << 12, 4096) for i in range(3)], writes
        self.settled()
        return f"{len(reads)} reads and {len(writes)} writes, each at its place"

    def test_keyboard(self):
        keys = ["shift-h", "i", "spc", "l", "s", "ret", "f1"]
        with self.watch("CaptureKeyboardInput(\"k\")", "--sources", "streams") as watch:
            for key in keys:
                self.guest.qmp("send-key", keys=[{"type": "qcode", "data": one} for one in key.split("-")])
            time.sleep(1.0)
            watch.stop()
            text = watch.stream(0).decode()
        assert "typed Hi ls\n" in text, text
        assert re.search(r"down  shift +12 ", text) and re.search(r"up    h +f0 33 ", text), text
        self.settled()
        return "Hi ls, with scan codes of set 2"

    def test_screen(self):
        with self.watch("CaptureScreen(200ms, \"s\")", "--sources", "streams") as watch:
            time.sleep(0.7)
            watch.stop()
            picture = watch.stream(0)
        assert picture.startswith(b"P6\n# 20"), picture[:40]
        self.settled()
        return f"{len(picture)} bytes"

    def test_streams_killed(self):
        times = []
        for _ in range(max(3, self.kills // 3)):
            with self.watch("CaptureNetwork(*, \"n\")\nCaptureKeyboardInput(\"k\")", "--sources", "streams") as watch:
                watch.process.send_signal(signal.SIGKILL)
                watch.process.wait()
                times.append(self.settled())
        with self.watch("CaptureNetwork(*, \"n\")\nCaptureKeyboardInput(\"k\")", "--sources", "streams") as watch:
            self.kill_both(watch)
        with self.watch("CaptureKeyboardInput(\"k\")", "--sources", "streams") as watch:
            words = [line["text"] for line in watch.stop() if "note" in line]
        assert sum("of a Vitrine that was killed" in word for word in words) >= 2, words
        self.settled()
        return f"{len(times)} kills: as before after at most {max(times):.2f} s; with the guardian: cleared at the next start"

    def test_an_absent_card_is_refused(self):
        done = subprocess.run([self.program, str(self.guest.pid), "CaptureNetwork(52:54:00:00:00:01, \"n\")\nCaptureConsole(\"c\")", "--sources", "streams"], input="", capture_output=True, text=True, timeout=60)
        assert done.returncode == 3 and "no network card 52:54:00:00:00:01" in done.stdout and "2 serial ports" in done.stdout, done.stdout
        return "refused, with the cards there are"


    def planned(self, script, sources="gdbstub"):
        """The plan's lines of a script that is refused."""
        done = subprocess.run([self.program, str(self.guest.pid), script, "--sources", sources], input="", capture_output=True, text=True, timeout=100)
        assert done.returncode in (1, 3), (done.returncode, done.stdout)
        return done.stdout

    def test_places_that_are_none(self):
        names = Counter(line.split()[2] for line in self.guest.kallsyms().splitlines() if line.split()[1] in "tT" and "[" not in line)
        often = next(name for name, count in names.items() if count == 3 and name.isidentifier())
        for script, word in (
            (f"ExecuteAt({often}) {{ Print(\"x\") }}", f"{often} is the name of 3 places: 0xffffffff"),
            ("Return(panic) { Print(\"x\") }", "it never returns"),
            ("ExecuteAt(no_such_function_of_a_kernel) { Print(\"x\") }", "no_such_function_of_a_kernel"),
            ("WriteAt(0xffff900000000000, 8) { Print(\"x\") }", "nothing mapped at 0xffff900000000000"),
            ("ExecuteAt(0xffffffff00000000) { Print(\"x\") }", "nothing mapped at 0xffffffff00000000"),
            ("ExecuteAt(\"*\") { Print(\"x\") }", "more than 256 functions"),
            ("MSRWrite { Print(\"x\") }", "not at MSRWrite"),
        ):
            said = self.planned(script)
            assert word in said, (script, said)
        with self.watch("ExecuteAt(0x400000) { Print(\"x\") }", "--sources", "gdbstub") as watch:
            self.alive()
            lines = watch.stop()
        assert any("in each that has something there" in line.get("reason", "") for line in lines), lines
        self.settled()
        return f"a name of three functions ({often}), one of none, unmapped addresses, too many: refused with the reason; of programs: told"

    def test_a_second_controller(self):
        with self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as watch:
            said = self.planned("ExecuteAt(do_exit) { Print(\"x\") }")
            assert "someone debugs it" in said or "another Vitrine" in said, said
            self.alive()
            watch.stop()
        self.settled()
        return "refused while the first goes on"

    def ended(self, watch, seconds, words):
        """Every source that is named has said why it ends."""
        for _ in range(int(seconds * 10)):
            text = watch.path.read_text()
            if all(word in text for word in words):
                return
            time.sleep(0.1)
        raise AssertionError(f"not said after {seconds} s: {words}: {text[-600:]}")

    def test_a_reboot(self):
        with self.watch("ProcessExit { Print(\"x\") }", "--sources", "polling") as polling, self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as stub:
            self.guest.qmp("system_reset")
            self.guest._await_ready(time.monotonic() + 100)
            self.ended(stub, 60, ["guest_reset"])
            self.ended(polling, 60, ["guest_reset"])
            stub.stop()
            polling.stop()
        self.settled()
        self.alive()
        with self.watch("ProcessExit { Print(\"x\") }", "--sources", "gdbstub") as watch:
            self.alive()
            watch.stop()
            assert watch.fires("ProcessExit"), watch.lines
        self.settled()
        return "both notice it; the guest comes up, nothing is left, and the next attach works"

    def test_the_machine_ends(self):
        with self.watch("ProcessExit { Print(\"x\") }\nCaptureNetwork(*, \"n\")", "--sources", "polling,streams") as looking, self.watch("ExecuteAt(do_exit) { Print(\"x\") }", "--sources", "gdbstub") as stub:
            self.guest.close()
            self.ended(looking, 20, ["polling ends", "its streams end"])
            self.ended(stub, 20, ["the gdbstub source ends"])
            stub.stop()
            looking.stop()
        return "each source says so and ends well"


def on_a_guest(options, extra):
    with Guest(options.kernel, cpus=options.cpus, memory=256, reboot=True, programs=("/usr/bin/tcpdump",), extra=extra) as guest:
        guest.run("for d in /sys/class/net/*; do [ \"$(cat $d/address)\" = " + MAC + " ] && n=${d##*/}; done; echo $n >/run/card; ifconfig $n 10.9.0.15 netmask 255.255.255.0 up; true")
        test = Test(guest, options.probe)
        test.kills = options.kills
        return run_cases(test, options.only)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", required=True)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    extra = f"-netdev user,id=n0,net=10.9.0.0/24 -device virtio-net-pci,netdev=n0,mac={MAC}"
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.truncate(16 << 20)
        extra += f" -drive file={disk.name},format=raw,if=none,id=d0 -device virtio-blk-pci,drive=d0"
        failed = on_a_guest(options, extra)
    print(f"{'FAILED' if failed else 'passed'} on {options.kernel} with {options.cpus} CPUs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
