"""A full Debian as a guest: systemd, sshd, nginx, cron, and bpftrace with probes of every kind.

The root file system is made once by mmdebstrap from the archive and kept in the cache; it needs root, network the first
time, and the packages mmdebstrap and e2fsprogs. Each boot writes to a copy that is thrown away (`-snapshot`).
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

from . import kernels, programs
from .cache import cache_dir, locked, scratch
from .errors import GuestError
from .initramfs import _pack
from .machine import _die_with_parent
from .modules import ModuleTree

SUITE = "bookworm"
PACKAGES = "systemd-sysv,openssh-server,nginx-light,bpftrace,dbus,rsyslog,cron,udev,procps"
MODULES = "virtio_pci virtio_blk crc32c_generic crc32c_cryptoapi libcrc32c ext4".split()
READY = b"LAB-READY"

INIT = """#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do /bin/busybox insmod $module; done < /modules
for try in 1 2 3 4 5 6 7 8 9; do [ -e /dev/vda ] && break; /bin/busybox sleep 1; done
/bin/busybox mount -t ext4 /dev/vda /root && exec /bin/busybox switch_root /root /sbin/init
"""

# Whoever observes a machine does so: all of it must pass for what it is.
TRACE = """kprobe:do_sys_openat2 { @opens = count(); }
kretprobe:vfs_read { @reads = count(); }
tracepoint:sched:sched_process_exec { @execs = count(); }
tracepoint:raw_syscalls:sys_enter { @calls = count(); }
uprobe:/bin/bash:readline { @lines = count(); }
interval:s:1 { @seconds = count(); }
BEGIN { printf("probes are in\\n"); }
"""
UNIT = f"""[Unit]
Description=what the test waits for
After=multi-user.target nginx.service ssh.service
[Service]
Environment=BPFTRACE_STRLEN=64
ExecStart=/bin/sh -c 'bpftrace /etc/lab.bt > /run/lab.out 2>&1 & for i in $(seq 600); do grep -q "probes are in" /run/lab.out && break; sleep 1; done; (systemctl is-active nginx ssh cron rsyslog dbus; cat /run/lab.out) > /dev/ttyS1; echo {READY.decode()} > /dev/ttyS1; sleep infinity'
[Install]
WantedBy=multi-user.target
"""


def image() -> Path:
    """The root file system, an ext4 image."""
    target = cache_dir() / "debian" / f"{SUITE}.ext4"
    if target.exists():
        return target
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise GuestError("a full Debian needs root and the package mmdebstrap")
    with locked("debian"), scratch("debian") as folder:
        if target.exists():
            return target
        root = folder / "root"
        done = subprocess.run(
            ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise GuestError(f"mmdebstrap failed:\n{done.stderr[-2000:]}")
        finish(root, folder / "image")
        target.parent.mkdir(exist_ok=True)
        os.rename(folder / "image", target)
    return target


def finish(root: Path, image_path: Path) -> None:
    (root / "etc/lab.bt").write_text(TRACE)
    (root / "etc/systemd/system/lab.service").write_text(UNIT)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "lab.service").symlink_to("/etc/systemd/system/lab.service")
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw 0 0\n")
    # Ports that nobody listens at would be waited for.
    for unit in ("systemd-networkd-wait-online.service", "systemd-timesyncd.service"):
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    done = subprocess.run(["mkfs.ext4", "-q", "-d", str(root), str(image_path), "1500M"], capture_output=True, text=True)
    if done.returncode != 0:
        raise GuestError(f"mkfs.ext4 failed: {done.stderr[-1000:]}")


def initrd(kernel: kernels.Kernel, folder: Path) -> Path:
    """What mounts the disk and hands over."""
    root = folder / "initrd"
    (root / "bin").mkdir(parents=True)
    shutil.copy(programs.busybox(), root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = []
    for module in ModuleTree(kernel).closure(MODULES):
        name = f"{module.name}.ko"
        (root / name).write_bytes(module.content)
        names.append(f"/{name}\n")
    (root / "modules").write_text("".join(names))
    _pack(root, folder / "initrd.cpio")
    return folder / "initrd.cpio"


class Debian:
    """A running full Debian. As a context manager; boots in the background, `wait()` for its services."""

    def __init__(self, label: str, memory: int = 1024):
        self.label, self.memory = label, memory
        self.kernel: kernels.Kernel | None = None
        self.pid = 0

    def __enter__(self) -> "Debian":
        self.kernel = kernels.fetch(self.label)
        disk = image()
        self._scratch = scratch("debian-run")
        self.folder = self._scratch.__enter__()
        archive = initrd(self.kernel, self.folder)
        self._process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-cpu", "max",
             "-smp", "2", "-m", f"{self.memory}M", "-no-reboot", "-name", f"debian-{os.getpid()}",
             "-kernel", str(self.kernel.image), "-initrd", str(archive), "-append", "console=ttyS0 quiet panic=-1",
             "-drive", f"file={disk},format=raw,if=virtio,snapshot=on",
             "-serial", f"file:{self.folder / 'console'}", "-serial", f"file:{self.folder / 'said'}",
             "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent,
        )  # fmt: skip
        self.pid = self._process.pid
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.kill()
        self._process.wait()
        self._scratch.__exit__(None, None, None)

    def wait(self, seconds: float) -> str:
        """What its services say of themselves, once all of them run."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = self.folder / "said"
            if said.exists() and READY in (text := said.read_bytes()):
                return text.decode("latin-1")
            if self._process.poll() is not None:
                break
            time.sleep(1)
        console = self.folder / "console"
        tail = console.read_bytes()[-2000:].decode("latin-1") if console.exists() else "nothing"
        raise GuestError(f"no Debian after {seconds:.0f} s; its console ends with:\n{tail}")
