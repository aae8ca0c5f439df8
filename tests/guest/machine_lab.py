"""Small machines for the tests of attaching, QEMU's own account of their memory, and machine_probe beside them."""

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "guests"))

from cases import kill_and_reap  # noqa: E402
from vitrine_guests import qmp  # noqa: E402

QEMU = shutil.which("qemu-system-x86_64")
MIB = 1 << 20


class Machine:
    """A QEMU, started paused or for a moment of firmware and then paused."""

    def __init__(self, folder, *arguments, boot=1.5, monitor=True, name="vt"):
        self.folder = folder
        self.name = f"{name}-{random.randrange(1 << 32):08x}"
        self.socket = os.path.join(folder, self.name + ".qmp")
        command = [QEMU, "-nodefaults", "-display", "none", "-name", self.name, *arguments]
        if monitor:
            command += ["-qmp", f"unix:{self.socket},server=on,wait=off"]
        if boot == 0:
            command += ["-S"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        if boot:
            time.sleep(boot)
        else:
            time.sleep(0.5)
        if self.process.poll() is not None:
            raise RuntimeError(self.process.stderr.read().decode())
        if monitor:
            end = time.monotonic() + 20
            while not os.path.exists(self.socket):
                if time.monotonic() > end:
                    raise RuntimeError("QEMU has no monitor after 20 s")
                time.sleep(0.05)
        if monitor and boot:
            self.qmp("stop")

    def qmp(self, name, /, **arguments):
        return qmp.command(self.socket, name, **arguments)

    def truth(self, address, size):
        """Bytes by QEMU's own hand."""
        path = os.path.join(self.folder, "truth.bin")
        self.qmp("pmemsave", val=address, size=size, filename=path)
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        return data

    def xp(self, address):
        text = qmp.human(self.socket, f"xp /2gx {address:#x}")
        return b"".join(struct.pack("<Q", int(word, 16)) for word in text.split()[1:3])

    def end(self):
        kill_and_reap(self.process)
        self.process.stderr.close()


class Probe:
    """machine_probe, as it answers."""

    program = None  # its path: what the test was called with

    def __init__(self, *arguments, prefix=()):
        self.process = subprocess.Popen([*prefix, Probe.program, *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.first = self.process.stdout.readline().strip()
        self.ok = self.first.startswith("open ")
        self.pid = self.process.pid

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def read(self, address, size):
        text = self.ask(f"read {address:x} {size:x}")
        try:
            return bytes.fromhex(text)
        except ValueError:
            return text

    def ram(self):
        return [tuple(int(x, 16) for x in one.split("-")) for one in self.ask("ram").split()]

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def covered(ranges, address):
    return any(a <= address < b for a, b in ranges)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-machine-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.random = random.Random(7)
        self.blob = self.random.randbytes(2 * MIB)
        self.blob_path = os.path.join(self.folder, "blob")
        with open(self.blob_path, "wb") as file:
            file.write(self.blob)

    def load(self, *addresses):
        """Options that put the blob into guest RAM at reset."""
        options = []
        for address in addresses:
            options += ["-device", f"loader,file={self.blob_path},addr={address:#x},force-raw=on"]
        return options

    def machine(self, *arguments, **options):
        machine = Machine(self.folder, *arguments, **options)
        self.addCleanup(machine.end)
        return machine

    def probe(self, *arguments, **options):
        probe = Probe(*arguments, **options)
        self.addCleanup(probe.end)
        self.assertTrue(probe.ok, probe.first)
        return probe

    def assert_equal_to_monitor(self, machine, probe, *, most=64 * MIB):
        """Every RAM range's edges, and random places, as pmemsave and xp say them."""
        ranges = probe.ram()
        self.assertTrue(ranges)
        for start, end in ranges:
            for address in {start, max(start, end - 4096)}:
                size = min(4096, end - address)
                self.assertEqual(probe.read(address, size), machine.truth(address, size), hex(address))
        for _ in range(20):
            start, end = self.random.choice(ranges)
            address = self.random.randrange(start, end - 16)
            self.assertEqual(probe.read(address, 16), machine.xp(address), hex(address))

    def assert_blob(self, probe, *addresses):
        for address in addresses:
            self.assertEqual(probe.read(address, len(self.blob)), self.blob, hex(address))

    def assert_populated_complete(self, machine, probe):
        """What next_populated() leaves out is zeros; and it leaves most of an idle guest out."""
        stretches = [tuple(int(x, 16) for x in one.split("-")) for one in probe.ask("populated").split()]
        ranges = probe.ram()
        for start, end in stretches:
            self.assertTrue(any(a <= start and end <= b for a, b in ranges), (hex(start), hex(end)))
        total = sum(end - start for start, end in stretches)
        self.assertLess(total, 64 * MIB)
        for _ in range(30):
            start, end = self.random.choice(ranges)
            address = self.random.randrange(start, end) & ~4095
            if not covered(stretches, address):
                self.assertEqual(probe.read(address, 4096), bytes(4096), hex(address))
