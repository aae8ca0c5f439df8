#!/usr/bin/env python3
"""A script whose guest is started anew goes on, by each source of events.

    restart_test.py --vitrine build/bin/vitrine --agent build/bin/vitrine-agent.so [--kernel 6.1] [--only NAME ...]

Two machines: with the agent (a reset, a reboot from inside, a kexec to another kernel) and without (gdbstub and
polling). An actor makes calls before and after: each is seen once, and the maps count both.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from cases import kill_and_reap, run_cases  # noqa: E402
from vitrine_guests import Guest, initramfs, kernels  # noqa: E402
from vitrine_guests.cache import cache_dir  # noqa: E402

PATIENCE = 90


class Run:
    """vitrine run --json, as it runs."""

    def __init__(self, vitrine, guest, script, *words):
        self.folder = tempfile.TemporaryDirectory(prefix="vitrine-restart-")
        self.path = Path(self.folder.name, "lines")
        environment = dict(os.environ, XDG_RUNTIME_DIR=self.folder.name, XDG_CACHE_HOME=self.folder.name)
        self.errors = open(Path(self.folder.name, "errors"), "w+b")
        with open(self.path, "wb") as lines:
            self.process = subprocess.Popen([vitrine, "run", "--json", "-e", script, guest.name, *words], stdout=lines, stderr=self.errors, env=environment)
        self.script = script

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        kill_and_reap(self.process)
        self.errors.close()
        self.folder.cleanup()

    def lines(self):
        return [json.loads(line) for line in self.path.read_bytes().decode().split("\n")[:-1]]

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def until(self, true, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if true(self.lines()):
                return
            assert self.process.poll() is None, f"it ended ({self.process.returncode}) before {what}: {self.said()}"
            time.sleep(0.1)
        raise AssertionError(f"not within {PATIENCE} s: {what}: {self.said()}")

    def until_started(self):
        self.until(lambda lines: any(line.get("text") == "begun\n" for line in lines if line["type"] == "print"), "the start")

    def until_again(self, times=1):
        self.until(lambda lines: len([1 for line in lines if line.get("kind") == "guest_again"]) == times, f"start {times} of another kernel")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return self.lines()


def called(lines):
    return [line["values"][0] for line in lines if line["type"] == "print" and line["text"].startswith("call ")]


def map_of(lines, name):
    rows = [line for line in lines if line["type"] == "map" and line["map"] == name]
    assert len(rows) == 1, f"@{name} was printed {len(rows)} times"
    return {tuple(entry["key"]): entry["value"] for entry in rows[0]["entries"]}


class Cases:
    def __init__(self, guest, words):
        self.guest = guest
        self.vitrine = words.vitrine

    def calls(self, count):
        status, said = self.guest.run(f"env COUNT={count} /actors/calls")
        assert status == 0, said

    def reset(self):
        self.guest.human("system_reset")
        self.guest.await_again()

    def judged(self, lines, before, after, restarts=1):
        """`before` and `after`: the numbers that the actor's calls had."""
        notes = [line["kind"] for line in lines if line["type"] == "note" and "kind" in line and line["kind"].startswith("guest")]
        assert notes == ["guest_reset", "guest_again"] * restarts, notes
        end = lines[-1]
        assert end["type"] == "end" and end["restarts"] == restarts and end["unseen_seconds"] > 0, end
        told = next(line for line in lines if line.get("kind") == "guest_again")
        assert told["release"] and told["unseen_seconds"] > 0, told
        got = called(lines)
        assert got == [*before, *after], f"{len(got)} calls of {len(before)} and {len(after)}: {got[:20]}"
        assert map_of(lines, "calls") == {(): len(before) + len(after)}, map_of(lines, "calls")
        return f"{len(before)} calls, {told['unseen_seconds']:.1f} s not seen, {len(after)} calls, and nothing lost or doubled"


class WithAgent(Cases):
    SCRIPT = ('Start { Print("begun\\n") @starts = count() } Every(1s) { @ticks = count() } '
              'Syscall(lseek) when (arg2 == 0x1234) { @calls = count() @by[process.name] = count() Print("call %d\\n", arg1) }')  # fmt: skip

    def test_a_reset(self):
        with Run(self.vitrine, self.guest, self.SCRIPT) as run:
            run.until_started()
            self.calls(400)
            self.reset()
            run.until_again()
            self.calls(600)
            lines = run.end()
        assert map_of(lines, "starts") == {(): 1}, "Start ran again"
        assert map_of(lines, "by") == {("calls",): 1000}, map_of(lines, "by")
        return self.judged(lines, range(400), range(600))

    def test_an_entry_of_the_prompt(self):
        """So does what was typed into `vitrine repl`; the next entry is of the kernel that came."""
        typed = ('Start { Print("begun\\n") } Syscall(lseek) when (arg2 == 0x1234) { @calls = count() if (arg1 == 599) Stop() }\n'
                 'Start { Print("%s\\n", symbol(init_task)) }\n')  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder, "said")
            environment = dict(os.environ, XDG_RUNTIME_DIR=folder, XDG_CACHE_HOME=folder, XDG_STATE_HOME=folder)
            with open(said, "wb") as out:
                prompt = subprocess.Popen([self.vitrine, "repl", self.guest.name], stdin=subprocess.PIPE, stdout=out, stderr=out, env=environment)
            try:
                prompt.stdin.write(typed.encode())
                prompt.stdin.close()
                self.within(lambda: b"begun" in said.read_bytes(), said, "the start")
                self.calls(400)
                self.reset()
                self.within(lambda: b"the script goes on" in said.read_bytes(), said, "the other kernel")
                self.calls(600)
                status = prompt.wait(PATIENCE)
            finally:
                prompt.kill()
                prompt.wait()
            text = said.read_text()
        assert status == 0 and "@calls" in text and "1000" in text and "init_task" in text, (status, text)
        return "1000 calls of two kernels in one map, and the next entry knows the other's symbols"

    def within(self, true, said, what):
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, f"not within {PATIENCE} s: {what}: {said.read_text()}"
            time.sleep(0.1)

    def test_a_kexec(self):
        """Another kernel, without a reset: the agent sees it where the old one ends."""
        other = kernels.fetch("6.12")
        archive = initramfs.build(other)
        with Run(self.vitrine, self.guest, self.SCRIPT + ' Return(do_filp_open) { @opens = count() }') as run:
            run.until_started()
            self.calls(300)
            status, said = self.guest.run(f"{self.kexec} {other.image} {archive} 'console=ttyS0 panic=-1 loglevel=4'")
            assert status == 0, said
            self.guest.await_again()
            run.until_again()
            self.calls(500)
            lines = run.end()
        said = next(line["text"] for line in lines if line.get("kind") == "guest_reset")
        assert "kexec" in said, said
        told = next(line for line in lines if line.get("kind") == "guest_again")
        assert told["release"] == other.release, told
        assert map_of(lines, "opens")[()] > 0
        return self.judged(lines, range(300), range(500))


class WithoutAgent(Cases):
    def names(self, count):
        for length in range(1, count + 1):
            status, said = self.guest.run(f"hostname {'x' * length}")
            assert status == 0, said
        self.guest.run("sleep 1")

    def test_breakpoints_and_polling(self):
        script = ('Start { Print("begun\\n") } ProcessExit { @exits[process.name] = count() } '
                  'Syscall(sethostname) when (arg1 < 8) { @calls = count() Print("call %d\\n", arg1) }')  # fmt: skip
        with Run(self.vitrine, self.guest, script, "--poll", "--rate-limit", "0") as run:
            run.until_started()
            self.names(5)
            self.reset()
            run.until_again()
            self.names(6)
            lines = run.end()
            plan = run.said()
        assert map_of(lines, "exits").get(("sleep",), 0) == 2, "polling saw no program that ran for a second"
        assert "gdbstub stops the whole machine" in plan and "polling compares" in plan, plan
        return self.judged(lines, range(1, 6), range(1, 7))

    def test_interrupted_between(self):
        """Ctrl-C while no kernel runs: the script ends as it would by itself."""
        with Run(self.vitrine, self.guest, 'Start { Print("begun\\n") } ProcessExit { @exits = count() } Stop { Print("over\\n") }', "--poll") as run:
            run.until_started()
            self.guest.run("sleep 1")
            self.guest.human("system_reset")
            run.until(lambda lines: any(line.get("kind") == "guest_reset" for line in lines), "the reset")
            lines = run.end()
        self.guest.await_again()
        assert any(line.get("text") == "over\n" for line in lines), "Stop did not run"
        assert map_of(lines, "exits")[()] > 0, "the map is lost"
        assert any("no other was up yet" in word for word in lines[-1]["words"]), lines[-1]
        return "Stop ran, the map is printed, and the end says that no kernel was up"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", required=True, type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--agent", required=True, type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--only", nargs="*")
    words = parser.parse_args()
    names = {kind: [name[5:] for name in vars(kind) if name.startswith("test_")] for kind in (WithAgent, WithoutAgent)}
    failed = 0
    other = kernels.fetch("6.12")
    kexec = cache_dir() / "programs" / "kexec"
    subprocess.run(["gcc", "-static", "-O1", "-o", kexec, HERE / "kexec.c"], check=True)
    for kind, mine in names.items():
        only = [name for name in words.only or mine if name in mine]
        if not only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o700)
            options = {"reboot": True, "cpus": 2, "memory": 512}
            if kind is WithAgent:
                options |= {"extra": f"-plugin {words.agent},dir={folder}", "programs": (str(kexec), str(other.image), str(initramfs.build(other)))}
            with Guest(words.kernel, **options) as guest:
                cases = kind(guest, words)
                cases.kexec = kexec
                failed += run_cases(cases, only)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
