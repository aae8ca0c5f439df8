#!/usr/bin/env python3
"""Captures of network, console, disk, keyboard and screen against other witnesses, and QEMU as it was before.

    streams_test.py --probe build/bin/watch_probe [--kernel 6.1] [--only NAME ...]
"""

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from watched_guest import MAC, Watch, WatchedGuest, run

from vitrine_guests import initramfs, kernels


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


class Streams(WatchedGuest):
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
        said = self.planned("CaptureNetwork(52:54:00:00:00:01, \"n\")\nCaptureConsole(\"c\")", "streams")
        assert "no network card 52:54:00:00:00:01" in said and "2 serial ports" in said, said
        return "refused, with the cards there are"


def main():
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.truncate(16 << 20)
        return run(Streams, __doc__, f"-drive file={disk.name},format=raw,if=none,id=d0 -device virtio-blk-pci,drive=d0")


if __name__ == "__main__":
    sys.exit(main())
