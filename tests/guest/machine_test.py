#!/usr/bin/env python3
"""Attach, against real QEMU machines: firmware only, no Linux guest needed.

What machine_probe reads from outside is held against QEMU's own monitor (xp, pmemsave)
and against bytes that the test itself put into RAM. Every process is ended by its pid.

    machine_test.py PROBE [unittest arguments]
"""
import hashlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from machine_lab import MIB, QEMU, Case, Probe, covered, qmp

GIB = 1 << 30


class Live(Case):
    def test_pc_anonymous(self):
        machine = self.machine("-M", "pc", "-m", "512", "-vga", "std", *self.load(0x1000000))
        probe = self.probe(machine.name)
        self.assertEqual(probe.ask("name"), machine.name)
        self.assertIn("process_vm_readv", probe.ask("notes"))
        self.assertEqual(probe.ram(), [(0, 0xa0000), (0xc0000, 0x20000000)])
        self.assert_populated_complete(machine, probe)
        self.assert_equal_to_monitor(machine, probe)
        self.assert_blob(probe, 0x1000000)
        self.assertIn("outside_ram", probe.read(0xa0000, 8))
        self.assertIn("outside_ram at 0xa0000", probe.read(0x9fffc, 8))
        self.assertIn("outside_ram at 0x20000000", probe.read(0x20000000 - 4, 8))

    def test_q35_above_4g_in_memfd(self):
        machine = self.machine("-M", "q35,memory-backend=ram", "-m", "5G", "-vga", "std", "-object",
                               "memory-backend-memfd,id=ram,size=5G,share=on", *self.load(0x70000000, 0x100000000))
        probe = self.probe(machine.pid)
        self.assertIn("shared mapping of /memfd", probe.ask("notes"))
        self.assertEqual(probe.ram(), [(0, 0xa0000), (0xc0000, 0x80000000), (0x100000000, 0x1c0000000)])
        self.assert_populated_complete(machine, probe)
        self.assert_equal_to_monitor(machine, probe)
        self.assert_blob(probe, 0x70000000, 0x100000000)

    def test_pc_5g_anonymous(self):
        machine = self.machine("-M", "pc", "-m", "5G", *self.load(0x100000000 + GIB))
        probe = self.probe(machine.socket)
        self.assertEqual(probe.ram()[-2:], [(0, 0xc0000000), (0x100000000, 0x180000000)])  # no VGA
        self.assert_equal_to_monitor(machine, probe)
        self.assert_blob(probe, 0x100000000 + GIB)

    def test_microvm(self):
        machine = self.machine("-M", "microvm", "-m", "4G", *self.load(0x100000000))
        probe = self.probe(machine.name)
        self.assert_equal_to_monitor(machine, probe)
        self.assert_blob(probe, 0x100000000)

    def test_two_numa_nodes_of_two_kinds(self):
        machine = self.machine("-M", "q35", "-m", "2G", "-smp", "2", "-object", "memory-backend-memfd,id=n0,size=1G,share=on",
                               "-object", "memory-backend-ram,id=n1,size=1G", "-numa", "node,memdev=n0,cpus=0",
                               "-numa", "node,memdev=n1,cpus=1", *self.load(GIB - MIB))
        probe = self.probe(machine.name)
        self.assertIn("shared mapping", probe.ask("notes"))
        self.assertIn("process_vm_readv", probe.ask("notes"))
        self.assert_populated_complete(machine, probe)
        self.assert_equal_to_monitor(machine, probe)
        self.assert_blob(probe, GIB - MIB)  # half in each node
        answers = probe.ask(f"batch {GIB - 4096 * 4:x} 8 10 1000").split()
        self.assertEqual(answers[0], "16")

    def test_file_backends_shared_and_private(self):
        for share in ("on", "off"):
            path = os.path.join(self.folder, f"ram-{share}")
            with self.subTest(share=share):
                machine = self.machine("-M", "pc,memory-backend=ram", "-m", "256M", "-object",
                                       f"memory-backend-file,id=ram,size=256M,mem-path={path},share={share}",
                                       *self.load(0x2000000))
                probe = self.probe(machine.name)
                self.assertIn("shared mapping" if share == "on" else "process_vm_readv", probe.ask("notes"))
                self.assert_equal_to_monitor(machine, probe)
                self.assert_blob(probe, 0x2000000)
                machine.end()

    def test_dimm_plugged_at_run_time_is_seen_when_opened_again(self):
        machine = self.machine("-M", "q35", "-m", "512M,slots=4,maxmem=4G")
        first = self.probe(machine.name)
        self.assertEqual(first.ram()[-1][1], 0x20000000)
        machine.qmp("object-add", qom_type="memory-backend-memfd", id="plug", size=256 * MIB, share=True)
        machine.qmp("device_add", driver="pc-dimm", id="dimm", memdev="plug")
        second = self.probe(machine.name)
        self.assertEqual(second.ram()[-1], (0x100000000, 0x110000000))
        self.assertEqual(first.ram()[-1][1], 0x20000000)
        self.assert_equal_to_monitor(machine, second)

    def test_device_memory_is_not_ram(self):
        machine = self.machine("-M", "q35", "-m", "256M", "-device", "VGA", "-object",
                               "memory-backend-memfd,id=other,size=64M,share=on", "-device",
                               "ivshmem-plain,memdev=other", boot=2.5)
        probe = self.probe(machine.name)
        self.assertEqual(probe.ram(), [(0, 0xa0000), (0xc0000, 0x10000000)])
        self.assertNotIn("64 MiB", probe.ask("notes"))

    def test_registers_are_the_monitors(self):
        machine = self.machine("-M", "q35", "-m", "256M", "-smp", "2")
        probe = self.probe(machine.name)
        text = qmp.human(machine.socket, "info registers -a")
        rip = [int(line.split("IP=")[1].split()[0], 16) for line in text.splitlines() if "IP=" in line]
        idt = [int(line.split()[1], 16) for line in text.splitlines() if line.startswith("IDT=")]
        words = probe.ask("registers").split()
        self.assertEqual([int(w[4:], 16) for w in words if w.startswith("rip=")], rip)
        self.assertEqual([int(w[4:], 16) for w in words if w.startswith("idt=")], idt)

    def test_paused_before_its_first_instruction(self):
        machine = self.machine("-M", "pc", "-m", "128M", boot=0)
        probe = self.probe(machine.name)
        self.assert_equal_to_monitor(machine, probe)

    def test_other_forms_of_the_monitor(self):
        path = os.path.join(self.folder, "deep" * 30)  # longer than a socket's address may be
        os.makedirs(path)
        forms = {
            "chardev": ["-chardev", "socket,id=m,path=mon.sock,server=on,wait=off", "-mon", "chardev=m,mode=control"],
            "pretty": ["-qmp-pretty", "unix:pretty.sock,server,nowait"],
            "tcp": ["-qmp", "tcp:127.0.0.1:0,server=on,wait=off"],
        }
        for form, options in forms.items():
            with self.subTest(form=form):
                if form == "tcp":
                    with socket.socket() as free:
                        free.bind(("127.0.0.1", 0))
                        port = free.getsockname()[1]
                    options = ["-qmp", f"tcp:127.0.0.1:{port},server=on,wait=off"]
                machine = self.machine("-M", "pc", "-m", "128M", *options, monitor=False)
                probe = self.probe(machine.name)
                self.assertIn("told by QEMU", probe.ask("notes"))
                machine.end()

    def test_several_clients_at_once(self):
        machine = self.machine("-M", "q35", "-m", "1G")
        probes = [Probe(machine.name) for _ in range(4)]
        for probe in probes:
            self.addCleanup(probe.end)
            self.assertTrue(probe.ok, probe.first)
        low = {probe.read(0xf0000, 0x10000) for probe in probes}
        self.assertEqual(len(low), 1)


class WithoutMonitor(Case):
    def check(self, *arguments, layout_of_truth, **options):
        """The map inferred without a monitor equals the one that the monitor tells."""
        machine = self.machine(*arguments, **options)
        truth = self.probe(machine.name)
        probe = self.probe(machine.name, 0, "no-monitor")
        self.assertEqual(truth.ask("map").split()[0], "told")
        self.assertTrue(probe.ask("map").startswith(layout_of_truth), probe.ask("map") + probe.ask("warnings"))
        self.assertIn("inferred", probe.ask("warnings"))

        def above_1m(ranges):
            merged = []
            for start, end in ranges:
                if merged and merged[-1][1] == start:
                    merged[-1] = (merged[-1][0], end)
                else:
                    merged.append((start, end))
            return [(max(a, MIB), b) for a, b in merged if b > MIB]
        self.assertEqual(above_1m(probe.ram()), above_1m(truth.ram()))
        for _ in range(20):
            start, end = self.random.choice(truth.ram())
            if start < MIB:
                continue
            address = self.random.randrange(start, end - 16)
            self.assertEqual(probe.read(address, 16), truth.read(address, 16))
        return machine, probe

    def test_machine_types(self):
        for arguments in (["-M", "pc", "-m", "5G"], ["-M", "q35", "-m", "5G"], ["-M", "q35", "-m", "2.75G"],
                          ["-M", "pc", "-m", "3G"], ["-M", "pc", "-m", "3584M"], ["-M", "microvm", "-m", "5G"],
                          ["-M", "pc,max-ram-below-4g=1G", "-m", "2G"], ["-M", "pc-q35-7.2", "-m", "300M"], ["-M", "pc"]):
            with self.subTest(arguments=arguments):
                machine, _ = self.check(*arguments, layout_of_truth="verified", boot=2.5)
                machine.end()

    def test_numa_and_dimms(self):
        machine, probe = self.check("-M", "q35", "-m", "2G,slots=2,maxmem=8G", "-smp", "2", "-object",
                                    "memory-backend-memfd,id=n0,size=1G,share=on", "-object", "memory-backend-ram,id=n1,size=1G",
                                    "-numa", "node,memdev=n0", "-numa", "node,memdev=n1", "-object",
                                    "memory-backend-ram,id=d0,size=512M", "-device", "pc-dimm,memdev=d0,id=dd",
                                    layout_of_truth="verified", boot=2.5)

    def test_two_anonymous_nodes_of_one_size(self):
        self.check("-M", "q35", "-m", "2G", "-smp", "2", "-object", "memory-backend-ram,id=n0,size=1G", "-object",
                   "memory-backend-ram,id=n1,size=1G", "-numa", "node,memdev=n0", "-numa", "node,memdev=n1",
                   *self.load(GIB + MIB), layout_of_truth="verified", boot=2.5)

    def test_no_socket_at_all(self):
        machine = self.machine("-M", "q35", "-m", "3G", monitor=False, boot=2.5)
        probe = self.probe(machine.name)
        self.assertTrue(probe.ask("map").startswith("verified"))
        self.assertIn("no QMP socket", probe.ask("notes"))
        self.assertIn("unsupported", probe.ask("registers"))

    def test_not_started_yet(self):
        machine = self.machine("-M", "q35", "-m", "3G", boot=0)
        probe = self.probe(machine.name, 0, "no-monitor")
        self.assertTrue(probe.ask("map").startswith("inferred"))
        self.assertIn("nothing in the guest confirms it", probe.ask("warnings"))

    def test_a_socket_that_another_machine_was_given_too(self):
        first = self.machine("-M", "q35", "-m", "64M", boot=0)
        second = self.machine("-M", "q35", "-m", "64M", "-qmp", f"unix:{first.socket},server=on,wait=off", boot=0)
        probe = self.probe(first.name)
        self.assertIn(f"is that of {second.name} (pid {second.pid}), too", probe.ask("warnings"))
        self.assertTrue(probe.ask("map").startswith("inferred"))
        self.assertIn("not_found", probe.ask("registers"))
        self.assertTrue(self.probe(second.name).ask("map").startswith("told"))

    def test_a_qemu_that_a_signal_stopped(self):
        machine = self.machine("-M", "q35", "-m", "64M", boot=0)
        os.kill(machine.pid, signal.SIGSTOP)
        probe = self.probe(machine.name)
        self.assertIn(f"QEMU (pid {machine.pid}) is stopped", probe.ask("warnings"))
        os.kill(machine.pid, signal.SIGCONT)

    def test_a_machine_that_is_being_received(self):
        machine = self.machine("-M", "q35", "-m", "64M", "-incoming", "defer", boot=0)
        self.assertIn("(inmigrate)", self.probe(machine.name).ask("warnings"))

    def test_busy_socket(self):
        machine = self.machine("-M", "q35", "-m", "5G", boot=2.5)
        holder = qmp.Conversation(machine.socket)
        start = time.monotonic()
        probe = self.probe(machine.name)
        self.assertLess(time.monotonic() - start, 1.5)
        self.assertIn("busy", probe.ask("warnings"))
        self.assertTrue(probe.ask("map").startswith("verified"))
        self.assertIn("timeout", probe.ask("registers"))
        holder.close()
        until = time.monotonic() + 10  # QEMU notices in its own time
        while "rip=" not in (said := probe.ask("registers")) and time.monotonic() < until:
            time.sleep(0.1)
        self.assertIn("rip=", said)
        self.assertIn("told", self.probe(machine.name).ask("map"))

    def test_as_libvirt_starts_it(self):
        """Named by its UUID, the monitor by libvirt's name for it and held: said, with what to do."""
        uuid = "57d4b3fd-4c38-4ef6-837f-%012x" % random.randrange(1 << 48)
        path = os.path.join(self.folder, "libvirt.sock")
        self.machine("-M", "q35", "-m", "64M", "-uuid", uuid, "-chardev", f"socket,id=charmonitor,path={path},server=on,wait=off",
                     "-mon", "chardev=charmonitor,id=monitor,mode=control", monitor=False, name="domain")  # fmt: skip
        holder = qmp.Conversation(path)
        probe = self.probe(uuid.upper())
        self.assertIn("libvirt holds it: a second one gives the registers", probe.ask("warnings"))
        holder.close()


class Images(Case):
    def ranges_equal(self, probe, machine, addresses):
        for address in addresses:
            self.assertEqual(probe.read(address, 4096), machine.truth(address, 4096), hex(address))

    def test_elf_with_and_without_paging(self):
        machine = self.machine("-M", "q35", "-m", "3G", "-smp", "2", "-device", "VGA", *self.load(0x100000000), boot=2.5)
        live = self.probe(machine.name)
        for paging in (False, True):
            path = os.path.join(self.folder, f"dump{paging}.elf")
            machine.qmp("dump-guest-memory", paging=paging, protocol="file:" + path)
        for paging in (False, True):
            with self.subTest(paging=paging):
                probe = self.probe(os.path.join(self.folder, f"dump{paging}.elf"))
                self.assertEqual(probe.ask("map").strip(), "told")
                for start, end in live.ram():
                    if start >= MIB:
                        self.assertTrue(covered(probe.ram(), start) and covered(probe.ram(), end - 1))
                self.ranges_equal(probe, machine, [0, 0xf0000, 0x100000, 0x7ffdf000, 0x100000000, 0x100000000 + MIB])
                self.assert_blob(probe, 0x100000000)
                ours, theirs = probe.ask("registers").split(), live.ask("registers").split()
                same = [w for w in ours if not w.startswith(("efer", "halted"))]
                self.assertEqual(same, [w for w in theirs if not w.startswith(("efer", "halted"))])

    def test_raw_by_pmemsave_and_by_copy_of_the_ram_file(self):
        ram = os.path.join(self.folder, "ram")
        machine = self.machine("-M", "q35,memory-backend=ram", "-m", "3G", "-object",
                               f"memory-backend-file,id=ram,size=3G,mem-path={ram},share=on", *self.load(0x100000000), boot=2.5)
        copy = os.path.join(self.folder, "copy.img")
        subprocess.run(["cp", "--sparse=always", ram, copy], check=True)
        probe = self.probe(copy)
        self.assertTrue(probe.ask("map").startswith("verified as a q35"), probe.ask("map"))
        self.assert_blob(probe, 0x100000000)
        self.ranges_equal(probe, machine, [0, 0xf0000, 0x7ffdf000])

        whole = os.path.join(self.folder, "whole.img")
        with open(whole, "wb") as file:  # pmemsave of 5 GiB, without writing its holes
            file.truncate(0x140000000)
            for address in (*range(0, 2 * MIB, MIB), *range(0x7fc00000, 0x80000000, MIB), 0x100000000, 0x100000000 + MIB):
                file.seek(address)
                file.write(machine.truth(address, MIB))
        probe = self.probe(whole)
        self.assertTrue(probe.ask("map").startswith("verified as the address space itself"), probe.ask("map"))
        self.assertEqual(probe.ram(), [(0, 0x80000000), (0x100000000, 0x140000000)])
        self.assert_blob(probe, 0x100000000)

    def test_raw_small(self):
        machine = self.machine("-M", "pc", "-m", "128M", *self.load(0x1000000))
        path = os.path.join(self.folder, "raw")
        with open(path, "wb") as file:
            file.write(machine.truth(0, 128 * MIB))
        probe = self.probe("file:" + path)
        self.assert_blob(probe, 0x1000000)
        self.assertEqual(probe.ram(), [(0, 128 * MIB)])
        self.assertIn("unsupported", probe.ask("registers"))

    def lime(self, *ranges):
        path = os.path.join(self.folder, "memory.lime")
        with open(path, "wb") as file:
            for start, data in ranges:
                file.write(struct.pack("<IIQQ8x", 0x4c694d45, 1, start, start + len(data) - 1) + data)
        return path

    def test_lime(self):
        path = self.lime((0x1000, self.blob[:0x9e000]), (0x100000, self.blob), (0x100000000, self.blob))
        probe = self.probe(path)
        self.assertEqual(probe.ram(), [(0x1000, 0x9f000), (0x100000, 0x300000), (0x100000000, 0x100200000)])
        self.assert_blob(probe, 0x100000, 0x100000000)
        self.assertIn("outside_ram", probe.read(0x9f000, 8))
        os.truncate(path, os.path.getsize(path) - MIB)
        short = self.probe(path)
        self.assertIn("cut short", short.ask("warnings"))
        self.assertEqual(short.read(0x100000000, MIB), self.blob[:MIB])

    def test_a_file_that_shrinks_is_vanished(self):
        path = self.lime((0, self.blob))
        probe = self.probe(path)
        self.assert_blob(probe, 0)
        os.truncate(path, 8192)
        self.assertEqual(probe.ask("alive"), "false")
        self.assertIn("vanished", probe.read(MIB, 8))
        self.assertIn("vanished", probe.read(MIB, 8))

    def test_what_is_no_image(self):
        cases = {
            b"KDUMP   ": ("malformed", "kdump"), b"DISKDUMP": ("unsupported", "diskdump"), b"AVML": ("unsupported", "AVML version"), b"QFI\xfb": ("unsupported", "qcow2"),
            b"\x1f\x8b": ("unsupported", "gzip"), b"\x28\xb5\x2f\xfd": ("unsupported", "zstd"),
            b"\xfd7zXZ\0": ("unsupported", "xz"), b"": ("malformed", "only"), b"\x7fELF": ("malformed", "ELF"),
            b"EMiL\x02\0\0\0": ("unsupported", "LiME version"),
        }
        for magic, (code, words) in cases.items():
            path = os.path.join(self.folder, "bad")
            with open(path, "wb") as file:
                file.write(magic + bytes(4096))
            probe = Probe(path)
            self.addCleanup(probe.end)
            self.assertTrue(probe.first.startswith(code), probe.first)
            self.assertIn(words, probe.first)
        probe = Probe(Probe.program)
        self.addCleanup(probe.end)
        self.assertIn("not a memory image", probe.first)
        probe = Probe("file:/nonexistent")
        self.addCleanup(probe.end)
        self.assertTrue(probe.first.startswith("not_found"), probe.first)


class BadInput(Case):
    def test_names(self):
        machine = self.machine("-M", "pc", "-m", "64M", name="web")
        probe = Probe(machine.name[:-1])
        self.assertEqual(probe.end(), 1)
        self.assertTrue(probe.first.startswith("not_found"))
        self.assertIn(machine.name, probe.first)
        probe = Probe(os.getpid())
        self.assertEqual(probe.end(), 1)
        self.assertIn("is not a QEMU machine", probe.first)
        probe = Probe("999999999")
        self.assertEqual(probe.end(), 1)

    def test_two_of_one_name(self):
        options = ["-M", "pc", "-m", "64M", "-name", "twin-of-test"]
        pids = [self.machine(*options).pid for _ in range(2)]
        probe = Probe("twin-of-test")
        self.assertEqual(probe.end(), 1)
        self.assertTrue(probe.first.startswith("invalid"), probe.first)
        for pid in pids:
            self.assertIn(str(pid), probe.first)

    def test_the_machine_dies(self):
        for backend in ("ram", "memfd,share=on"):
            with self.subTest(backend=backend):
                kind, *rest = backend.split(",")
                machine = self.machine("-M", "pc,memory-backend=r", "-m", "128M", "-object",
                                       ",".join([f"memory-backend-{kind},id=r,size=128M", *rest]))
                probe = self.probe(machine.name)
                self.assertEqual(probe.ask("alive"), "true")
                machine.end()
                self.assertEqual(probe.ask("alive"), "false")
                if kind == "ram":
                    self.assertIn("vanished", probe.read(0x1000, 8))
                    self.assertTrue(probe.ask("batch 1000 8 4 1000").startswith("0 "))
                self.assertIn("vanished", probe.ask("registers"))

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root to become someone else")
    def test_another_users_machine(self):
        machine = self.machine("-M", "q35", "-m", "256M", *self.load(0x1000000))
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chmod(self.folder, 0o755)
        probe = Probe(machine.pid, prefix=nobody)
        self.assertEqual(probe.end(), 1)
        self.assertTrue(probe.first.startswith("denied"), probe.first)
        self.assertIn("uid 0", probe.first)
        # The monitor alone is permitted: the last rung.
        os.chmod(machine.socket, 0o777)
        probe = self.probe(machine.pid, prefix=nobody)
        self.assertIn("through the QMP monitor", probe.ask("notes"))
        self.assert_blob(probe, 0x1000000)
        self.assertIn("rip=", probe.ask("registers"))


class List(Case):
    def lines(self, prefix=()):
        text = subprocess.run([*prefix, Probe.program, "--list"], capture_output=True, text=True, check=True).stdout
        return {line.split()[0]: line for line in text.splitlines()}

    def test_says_how_each_would_be_reached(self):
        anonymous = self.machine("-M", "q35", "-m", "256M", "-smp", "2")
        shared = self.machine("-M", "pc,memory-backend=r", "-m", "64M", "-object", "memory-backend-memfd,id=r,size=64M,share=on",
                              monitor=False)
        lines = self.lines()
        self.assertIn(f"pid={anonymous.pid} ", lines[anonymous.name])
        for words in ("type=q35 ", "accel=tcg ", f"memory={256 * MIB} ", "vcpus=2 ", "state=paused", "ram=process_vm_readv"):
            self.assertIn(words, lines[anonymous.name])
        for words in ("type=pc ", "monitor= ", "state= ", "ram=shared mapping"):
            self.assertIn(words, lines[shared.name])
        holder = qmp.Conversation(anonymous.socket)
        self.assertIn("busy", self.lines()[anonymous.name])
        holder.close()

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root to become someone else")
    def test_says_why_another_users_cannot_be_read(self):
        machine = self.machine("-M", "pc", "-m", "64M")
        line = self.lines(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])[machine.name]
        self.assertIn("ram= remark=use sudo", line)

    def test_a_renamed_program_is_found_by_its_options(self):
        renamed = os.path.join(self.folder, "hypervisor")
        shutil.copy(QEMU, renamed)
        process = subprocess.Popen([renamed, "-L", "/usr/share/seabios", "-L", "/usr/share/qemu", "-machine", "pc", "-m", "64M",
                                    "-smp", "1", "-name", "renamed-vt", "-nodefaults", "-display", "none"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(1)
        self.assertIn("renamed-vt", self.lines())
        self.assertTrue(self.probe("renamed-vt").ask("name"), "renamed-vt")

    def test_who_launches_a_machine_is_none(self):
        """unshare stays as the parent, with QEMU's words in its own command line."""
        process = subprocess.Popen(["unshare", "--fork", "--kill-child", QEMU, "-machine", "pc", "-m", "64M", "-smp", "1",
                                    "-name", "launched-vt", "-nodefaults", "-display", "none"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(1)
        text = subprocess.run([Probe.program, "--list"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(text.count("launched-vt"), 1, text)


class Promises(Case):
    def test_files_are_opened_for_reading_only(self):
        machine = self.machine("-M", "q35,memory-backend=ram", "-m", "256M", "-object",
                               "memory-backend-memfd,id=ram,size=256M,share=on")
        probe = self.probe(machine.name)
        probe.ask("bench")
        seen = 0
        for number in os.listdir(f"/proc/{probe.pid}/fd"):
            link = os.readlink(f"/proc/{probe.pid}/fd/{number}")
            if "memfd:memory-backend" in link:
                seen += 1
                with open(f"/proc/{probe.pid}/fdinfo/{number}") as file:
                    flags = int(file.read().split("flags:")[1].split()[0], 8)
                self.assertEqual(flags & os.O_ACCMODE, os.O_RDONLY)
        self.assertEqual(seen, 1)
        with open(f"/proc/{probe.pid}/maps") as file:
            maps = [line.split()[1] for line in file if "memfd:memory-backend" in line]
        self.assertEqual(maps, ["r--s"])

    def test_no_byte_of_a_paused_guest_changes(self):
        machine = self.machine("-M", "pc", "-m", "256M", *self.load(0x1000000))
        before = hashlib.sha256(machine.truth(0xc0000, 256 * MIB - 0xc0000)).hexdigest()
        for arguments in ((machine.name,), (machine.name, 0, "no-monitor")):
            probe = self.probe(*arguments)
            for question in ("registers", "bench", "populated", "read 0 9fc00", "batch 100000 8 100 1000"):
                probe.ask(question)
        self.assertEqual(machine.qmp("query-status")["status"], "paused")
        self.assertEqual(hashlib.sha256(machine.truth(0xc0000, 256 * MIB - 0xc0000)).hexdigest(), before)

    def test_a_running_guest_is_not_stopped(self):
        machine = self.machine("-M", "pc", "-m", "256M")
        machine.qmp("cont")
        probe = Probe(machine.name, 0, "no-monitor")
        self.addCleanup(probe.end)
        probe.ask("bench")
        probe = self.probe(machine.name)
        probe.ask("registers")
        self.assertEqual(machine.qmp("query-status")["status"], "running")


if __name__ == "__main__":
    Probe.program = os.path.abspath(sys.argv.pop(1))
    if QEMU is None:
        print("SKIPPED: qemu-system-x86_64 is not installed")
        sys.exit(77)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=2)
