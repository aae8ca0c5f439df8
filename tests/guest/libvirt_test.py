"""Guests that libvirt manages: found, guarded, acted upon. libvirt's own tool tells what became of them.

It runs in a mount namespace of its own, with libvirt's folders on RAM disks: a libvirt that this host
has is neither asked nor disturbed. Exit status 77: skipped."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from guard_lab import Failure, Lab, until

FOLDERS = ("/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/etc/libvirt", "/var/cache/libvirt")
PID_FILE = Path("/run/libvirt/libvirtd.pid")
CONFIGURATION = {
    "qemu.conf": 'security_driver = "none"\nuser = "root"\ngroup = "root"\ncgroup_controllers = []\n'
                 'stdio_handler = "file"\nnamespaces = []\nremember_owner = 0\n',
    "libvirtd.conf": 'auth_unix_rw = "none"\n',
}  # fmt: skip
# acpi: libvirt 9 turns it off by an option that QEMU 10 has no more.
DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>{backing}
<os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os><features><acpi/></features>
<on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices><emulator>{emulator}</emulator><interface type='user'><model type='e1000'/></interface></devices></domain>"""
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
RULE = """Symptom init_runs {
    severity: high
    text: "a process runs"
    Every(100ms) { for (p in processes) if (p.pid == 1) { Report("%s runs", p.name) } }
}
"""


def check(true: bool, words: str) -> None:
    if not true:
        raise Failure(words)


def virsh(*words: str) -> str:
    done = subprocess.run(["virsh", "--connect", "qemu:///system", "--quiet", *words], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failure(f"virsh {' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


class Libvirt:
    """A libvirtd of our own, and the domains that were defined in it."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None
        for name in FOLDERS:
            Path(name).mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "vitrine-test", name], check=True)
        for name, text in CONFIGURATION.items():
            (Path("/etc/libvirt") / name).write_text(text)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["libvirtd", "--pid-file", PID_FILE], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.folder / "libvirtd.log", "ab"))  # fmt: skip

        def answers():
            with contextlib.suppress(Failure):
                return virsh("uri")

        until(answers, 30, 0.05)

    def end(self) -> None:
        """Domains go on without it."""
        self.process.terminate()
        self.process.wait(30)

    def define(self, name: str, shared: bool, memory: int = 24, boot: str = "") -> None:
        path = self.folder / f"{name}.xml"
        path.write_text(DOMAIN.format(name=name, memory=memory, backing=SHARED if shared else "", boot=boot,
                                      emulator=shutil.which("qemu-system-x86_64")))  # fmt: skip
        virsh("define", str(path))

    def __enter__(self) -> "Libvirt":
        return self

    def __exit__(self, *unused) -> None:
        if self.process.poll() is None:
            for name in virsh("list", "--name").split():
                with contextlib.suppress(Failure):
                    virsh("destroy", name)
            self.end()
        for path in Path("/run/libvirt/qemu").glob("*.pid"):  # what a failure left
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)


def lives(libvirt: Libvirt, lab: Lab) -> None:
    """Started, rebooted, destroyed, undefined."""
    libvirt.define("web1", shared=True)
    libvirt.define("db1", shared=False)
    time.sleep(0.5)
    check(lab.ask("status")["guests"] == [], "a domain that does not run is guarded")
    for name, ram in (("web1", "memfd"), ("db1", "in its QEMU alone")):
        begin = time.monotonic()
        virsh("start", name)
        row = lab.watched(name)
        print(f"{name}: watched {1000 * (time.monotonic() - begin):.0f} ms after virsh start began; {row['ram']}")
        check(ram in row["ram"], f"{name}: {row['ram']}")
        check(str(row["qemu_pid"]) == Path(f"/run/libvirt/qemu/{name}.pid").read_text().strip(), "its QEMU")
    row = lab.watched("web1")
    virsh("reset", "web1")
    virsh("suspend", "web1")
    virsh("resume", "web1")
    time.sleep(0.5)
    now = lab.watched("web1")
    check(now["fvm"] == row["fvm"], "a reset or a pause costs an FVM")
    os.kill(row["fvm_pid"], signal.SIGKILL)
    lab.watched("web1", but=row["fvm"])
    row = lab.watched("web1")
    os.kill(row["guard_pid"], signal.SIGKILL)  # its connection to libvirt goes with it
    until(lambda: (now := lab.guest("web1")) and now["guard_pid"] != row["guard_pid"] and now["state"] == "watched", 20)
    virsh("undefine", "web1")  # it runs on, as a transient domain
    check(lab.watched("web1")["state"] == "watched", "an undefined domain that runs")
    for name in ("web1", "db1"):
        virsh("destroy", name)
        until(lambda name=name: lab.guest(name) is None, 10)
    virsh("start", "db1")
    lab.watched("db1")


def restart(libvirt: Libvirt, lab: Lab) -> None:
    """libvirtd is updated under running guests: nobody goes unwatched for that; one that hangs neither."""
    row = lab.watched("db1")
    libvirt.end()
    until(lambda: any("the guest's monitor" in (entry["words"] or "") for entry in lab.evidence("db1")), 10)
    libvirt.start()
    until(lambda: any("answers again" in (entry["words"] or "") for entry in lab.evidence("db1")), 10)
    os.kill(libvirt.process.pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(libvirt.process.pid, signal.SIGCONT)
    now = lab.watched("db1")
    check((now["fvm"], now["guard_pid"]) == (row["fvm"], row["guard_pid"]), "a libvirtd that is away costs a guard or an FVM")
    virsh("destroy", "db1")
    until(lambda: lab.guest("db1") is None, 10)
    lab.verify("db1")


def actions(libvirt: Libvirt, lab: Lab) -> None:
    """On a Linux: frozen, isolated and kept, as libvirt itself then says."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "guests"))
    from vitrine_guests import initramfs, kernels

    model = kernels.fetch("6.1")
    kernel, initrd = model.image, initramfs.build(model)
    libvirt.define("linux1", shared=True, memory=256,
                   boot=f"<kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>panic=-1</cmdline>")  # fmt: skip
    virsh("start", "linux1")
    lab.watched("linux1")
    until(lambda: virsh("domstate", "linux1") == "paused", 120, 0.1)
    until(lambda: lab.guest("linux1")["applied"] == "frozen isolated", 10)
    try:
        until(lambda: any("is complete" in (entry["words"] or "") for entry in lab.evidence("linux1")), 60, 0.1)
    except Failure:
        raise Failure("\n".join(entry["words"] or "" for entry in lab.evidence("linux1"))) from None
    (image,) = (lab.state / "evidence" / "linux1" / "snapshots").iterdir()
    shown = subprocess.run([lab.programs / "vitrine", "ps", image, "--no-cache"], capture_output=True, text=True)
    check("init" in shown.stdout, f"the snapshot: {shown.stderr}")
    for entry in lab.evidence("linux1"):
        if entry["kind"] == "action":
            print(f"linux1: {entry['words']}")
    virsh("destroy", "linux1")
    until(lambda: lab.guest("linux1") is None, 10)
    lab.verify("linux1")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=Path)
    arguments = parser.parse_args()
    if missing := [name for name in ("libvirtd", "virsh") if not shutil.which(name)]:
        print(f"skipped: {' and '.join(missing)} not installed (libvirt-daemon, libvirt-clients)")
        return 77
    if not (arguments.programs / "vitrine-libvirt").exists():
        print("skipped: vitrine-libvirt is not built (libvirt-dev)")
        return 77
    if "VITRINE_LIBVIRT_TEST" not in os.environ:
        words = ["unshare", "--mount", sys.executable, *sys.argv]
        done = subprocess.run(words, env={**os.environ, "VITRINE_LIBVIRT_TEST": "1"})
        if done.returncode == 1 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            print("skipped: folders cannot be mounted here (root alone can)")
            return 77
        return done.returncode
    try:
        with Lab(arguments.programs, RULE, libvirt="qemu:///system", cpu_share=500, policy="policy.toml") as lab:
            lab.stop()
            (lab.folder / "policy.toml").write_text('dry_run = false\n[severity]\nhigh = ["freeze", "isolate", "snapshot"]\n')
            lab.start()
            with Libvirt(lab.folder) as libvirt:
                lives(libvirt, lab)
                restart(libvirt, lab)
                actions(libvirt, lab)
    except Failure as failure:
        print(f"libvirt: {failure}", file=sys.stderr)
        return 1
    print("libvirt: found, watched, replaced, acted upon; through restarts of libvirtd")
    return 0


if __name__ == "__main__":
    sys.exit(main())
