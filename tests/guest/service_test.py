"""The installed service under a real systemd: `cmake --install` into a copy of this host's root (an overlay), booted by
systemd-nspawn; the unit starts, falls, is restarted, reconfigured and stopped. Exit status 77: skipped."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

HERE = Path(__file__).resolve()
PLACES = ("usr/bin/vitrine", "usr/bin/vitrined", "usr/bin/vitrine-guard", "usr/bin/vitrine-fvm", "usr/lib/vitrine/vitrine-agent.so",
          "usr/share/vitrine/rules", "usr/share/man/man1/vitrine.1", "usr/lib/systemd/system/vitrined.service")  # fmt: skip
LAB = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=VITRINE_SERVICE_TEST=inside
ExecStart=/usr/bin/python3 {test} inside {isolation}
StandardOutput=file:/lab.out
StandardError=inherit
ExecStopPost=/bin/systemctl --no-block exit
"""


class Failure(Exception):
    pass


def check(true: bool, words: str) -> None:
    if not true:
        raise Failure(words)


def said(*words: str, fails: bool = False) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if not fails and done.returncode != 0:
        raise Failure(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def until(what, words: str, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {words}\n{said('journalctl', '-u', 'vitrined', '-n', '30', '--no-pager', fails=True)}"
                          f"{Path('/var/lib/vitrine/fvms.log').read_text()[-2000:] if Path('/var/lib/vitrine/fvms.log').exists() else ''}")
        time.sleep(0.01)
    return answer


def watched() -> dict | None:
    done = subprocess.run(["vitrine", "fvm", "status", "--json"], capture_output=True, text=True, timeout=20)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next((row for row in rows if row.get("guest") == "web1" and row["state"] == "watched"), None)


def property_of(name: str) -> str:
    return said("systemctl", "show", "-P", name, "vitrined").strip()


def inside(isolation: str) -> None:
    """Runs as a service of the booted system."""
    check(said("systemctl", "is-active", "vitrined").strip() == "active", "the enabled unit does not run after the boot")
    for path, mode in (("/run/vitrine", 0o755), ("/var/lib/vitrine", 0o711), ("/var/lib/vitrine/keys", 0o700)):
        check(os.stat(path).st_mode & 0o777 == mode, f"{path}: mode {os.stat(path).st_mode & 0o777:o}")
    check("no rules" not in said("journalctl", "-u", "vitrined", "--no-pager"), "the installed rules were not found")
    guest = subprocess.Popen(
        ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg,memory-backend=ram", "-S", "-m", "24M", "-name", "web1",
         "-object", "memory-backend-memfd,id=ram,size=24M,share=on", "-qmp", "unix:/run/vitrine/machines/web1.qmp,server=on,wait=off"],
    )  # fmt: skip
    row = until(watched, "web1 is watched", 240)
    check(row["isolation"] == isolation, f"it is watched by a {row['isolation']}")
    for role in ("guard", "fvm"):
        user = os.stat(f"/proc/{row[role + '_pid']}").st_uid
        check(user >= 2_000_300_000, f"the {role} runs as user {user}")
    print(f"watched by a {isolation}; guard and FVM are users {os.stat('/proc/%d' % row['guard_pid']).st_uid} and later")

    restarts = int(property_of("NRestarts"))
    os.kill(int(property_of("MainPID")), 9)
    begin = time.monotonic()
    until(lambda: (now := watched()) and now["guard_pid"] != row["guard_pid"], "watched again after SIGKILL", 240)
    print(f"vitrined killed: restarted by systemd, the guest watched again after {1000 * (time.monotonic() - begin):.0f} ms")
    check(int(property_of("NRestarts")) == restarts + 1, "one restart")

    said("systemctl", "restart", "vitrined")
    check(Path("/run/vitrine/machines/web1.qmp").exists(), "a restart takes the guests' sockets away")
    until(watched, "watched after a restart", 240)

    good = Path("/etc/vitrine/vitrined.toml").read_text()
    Path("/etc/vitrine/vitrined.toml").write_text(good + "standbye = 2\n")
    said("systemctl", "restart", "vitrined", fails=True)
    until(lambda: property_of("ActiveState") == "failed", "a mistake ends it")
    check(property_of("ExecMainStatus") == "78", property_of("ExecMainStatus"))
    check('did you mean "standby"' in said("journalctl", "-u", "vitrined", "--no-pager"), "the journal says what is wrong")
    count = property_of("NRestarts")
    time.sleep(1)
    check(property_of("NRestarts") == count, "a mistake is tried again and again")
    Path("/etc/vitrine/vitrined.toml").write_text(good)
    said("systemctl", "start", "vitrined")
    until(watched, "watched after the mistake was mended", 240)

    said("systemctl", "stop", "vitrined")
    left = [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and os.stat(path).st_uid >= 2_000_300_000]
    check(not left and guest.poll() is None, f"processes stay: {left}")
    for warning in said("systemd-analyze", "verify", "vitrined.service", fails=True).splitlines():
        check("vitrined" not in warning, warning)
    print(said("systemd-analyze", "security", "vitrined.service", "--no-pager", fails=True).splitlines()[-1].strip("→ "))
    said("vitrine", "evidence", "verify", "web1")
    guest.kill()
    print("INSIDE: done")


def outside(build: Path, folder: Path, isolation: str, image: Path | None) -> int:
    (folder / "layers").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "vitrine-test", folder / "layers"], check=True)
    for name in ("upper", "work"):
        (folder / "layers" / name).mkdir()
    root = folder / "root"
    root.mkdir()
    layers = f"lowerdir=/,upperdir={folder}/layers/upper,workdir={folder}/layers/work"
    subprocess.run(["mount", "-t", "overlay", "vitrine-test", "-o", layers, root], check=True)
    for name in ("etc/vitrine", "run/vitrine", "var/lib/vitrine"):
        shutil.rmtree(root / name, ignore_errors=True)
    done = subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(root)}, capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)
    for place in PLACES:
        check((root / place).exists(), f"not installed: /{place}")
    (root / "etc/vitrine").mkdir()
    (root / "etc/fstab").write_text("")  # disks are not this test's
    settings = f'isolation = "{isolation}"\n'
    if image:
        shutil.copytree(image, root / "usr/lib/vitrine/fvm")
    (root / "etc/vitrine/vitrined.toml").write_text((root / "usr/share/vitrine/vitrined.toml").read_text().replace('isolation = "process"', settings))
    shutil.copy(HERE, root / "lab.py")
    units = root / "etc/systemd/system"
    for name in ("libvirtd.service", "libvirtd.socket", "networking.service", "docker.service"):
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (units / "lab.service").write_text(LAB.format(test="/lab.py", isolation=isolation))
    wants = units / "multi-user.target.wants"
    shutil.rmtree(wants)
    wants.mkdir()
    (wants / "lab.service").symlink_to("/etc/systemd/system/lab.service")
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "enable", "vitrined"], check=True)
    words = ["systemd-nspawn", "--directory", root, "--register=no", "--keep-unit", "--private-network", "--boot", "--quiet", "--console=pipe"]
    done = subprocess.run(words, env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=500)  # fmt: skip
    out = (root / "lab.out").read_text() if (root / "lab.out").exists() else done.stdout[-3000:] + done.stderr
    print(textwrap.indent(out, "  "))
    return 0 if "INSIDE: done" in out else 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("build", help="the build folder")
    parser.add_argument("isolation", nargs="?", default="process")
    parser.add_argument("--image", type=Path, help="of microVMs")
    arguments = parser.parse_args()
    state = os.environ.get("VITRINE_SERVICE_TEST", "")
    try:
        if state == "inside":
            inside(arguments.isolation)
            return 0
        if state == "outside":
            return outside(Path(arguments.build), Path(os.environ["VITRINE_SERVICE_FOLDER"]), arguments.isolation, arguments.image)
    except Failure as failure:
        print(f"FAILED: {failure}")
        return 1
    if missing := [name for name in ("systemd-nspawn", "systemctl", "unshare") if not shutil.which(name)]:
        print(f"skipped: {', '.join(missing)} not installed (systemd-container)")
        return 77
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "vitrine-test", "/mnt"], capture_output=True).returncode != 0:
        print("skipped: folders cannot be mounted here (root alone can)")
        return 77
    with tempfile.TemporaryDirectory(prefix="vitrine-service-") as folder:  # what is mounted in it goes with the namespace
        state = {"VITRINE_SERVICE_TEST": "outside", "VITRINE_SERVICE_FOLDER": folder}
        return subprocess.run(["unshare", "--mount", sys.executable, *sys.argv], env={**os.environ, **state}).returncode


if __name__ == "__main__":
    sys.exit(main())
