#!/usr/bin/env python3
"""Polling and the gdbstub against the guest's own account, and QEMU as it was before.

    sources_test.py --probe build/bin/watch_probe [--kernel 6.1] [--only NAME ...]
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

from watched_guest import WatchedGuest, run


class Sources(WatchedGuest):
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
            said = self.planned("ExecuteAt(do_exit) { Print(\"x\") }")
            assert "someone debugs it" in said, said
        finally:
            self.guest.human("gdbserver none")
        self.settled()
        return "refused, with the reason"

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

    # -- the guest ends, or starts anew

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


if __name__ == "__main__":
    sys.exit(run(Sources, __doc__))
