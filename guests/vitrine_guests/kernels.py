"""Stock Debian kernels: looked up in a suite's signed index, fetched by apt, unpacked into the cache.

apt runs with a state folder of its own: it neither reads nor changes what the host has configured
or installed, and needs no root. Nothing is pinned: `fetch(refresh=True)` asks the index again.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .cache import cache_dir, locked, scratch
from .errors import GuestError
from .labels import LABELS, Label, find_label

MIRROR = "http://deb.debian.org"
KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
@dataclass(frozen=True)
class Kernel:
    """A kernel in the cache: `image` boots, `modules` is its `lib/modules/RELEASE`."""

    label: str
    release: str
    version: str
    packages: tuple[str, ...]
    root: Path

    @property
    def image(self) -> Path:
        return _first(
            self.root,
            f"boot/vmlinuz-{self.release}",
            f"usr/lib/modules/{self.release}/vmlinuz",
            f"lib/modules/{self.release}/vmlinuz",
        )

    @property
    def modules(self) -> Path | None:
        """None when the archive has the image and no modules any more: it boots, with what is built in."""
        places = (self.root / base / self.release for base in ("lib/modules", "usr/lib/modules"))
        return next((place for place in places if (place / "kernel").exists()), None)


def _first(root: Path, *candidates: str) -> Path:
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise GuestError(f"none of {', '.join(candidates)} in {root}")


def _root(release: str, version: str) -> Path:
    """Rebuilds of a package keep the release and change the version."""
    return cache_dir() / "kernels" / f"{release}_{version}"


def cached(label: str) -> Kernel | None:
    """The kernel that the cache holds for `label`, or None. No network."""
    note = cache_dir() / "kernels" / f"{label}.json"
    try:
        fields = json.loads(note.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    kernel = Kernel(
        label,
        fields["release"],
        fields["version"],
        tuple(fields["packages"]),
        _root(fields["release"], fields["version"]),
    )
    return kernel if kernel.root.is_dir() else None


def fetch(label: str, refresh: bool = False) -> Kernel:
    """The kernel for `label`, from the cache when it is there and `refresh` is not asked.

    Raises GuestError for an unknown label, or when apt or dpkg-deb fails (with their words).
    """
    found = find_label(label)
    if not refresh and (kernel := cached(label)):
        return kernel
    with locked(f"kernel-{label}"):
        if not refresh and (kernel := cached(label)):
            return kernel
        return _Suite(found).fetch()


def debug_image(label: str) -> Path:
    """vmlinux with debug symbols of the kernel that `label` is: what other tools need. Some 900 MB are fetched, once."""
    kernel = fetch(label)
    target = cache_dir() / "debug" / f"vmlinux-{kernel.release}_{kernel.version}"
    with locked(f"debug-{kernel.release}"):
        if not target.exists():
            _Suite(find_label(label)).fetch_debug_image(kernel, target)
    return target


def forget(label: str) -> None:
    """Takes the kernel of `label`, its initramfs with it, out of the cache, unless another label has the same one."""
    if not (kernel := cached(label)):
        return
    notes = [path for path in (cache_dir() / "kernels").glob("*.json") if path.stem != label]
    (cache_dir() / "kernels" / f"{label}.json").unlink(missing_ok=True)
    if not any(json.loads(note.read_text())["release"] == kernel.release for note in notes):
        shutil.rmtree(kernel.root, ignore_errors=True)
        for archive in (cache_dir() / "initramfs").glob(f"{kernel.release}-????????????????.cpio"):
            archive.unlink(missing_ok=True)


def offered(suite: str) -> list[str]:
    """Labels of all that `suite` has: of each series and flavour, which stands for its newest."""
    index = _Suite(find_label(f"{suite}:0.0"))
    index.update()
    found = {match.groups() for name in index.names() if (match := re.match(r"linux-image-(\d+\.\d+)\D.*?-?((?:cloud-|rt-)?amd64)$", name))}
    return [f"{suite}:{series}:{flavour}" for series, flavour in sorted(found, key=lambda each: ([int(n) for n in each[0].split(".")], each[1]))]


class _Suite:
    """apt with a private state folder that knows the suites of one label only."""

    def __init__(self, label: Label):
        self.label = label
        self.folder = cache_dir() / "apt" / label.index
        for part in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "state/status").write_text("")
        keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
        if keyring is None:
            raise GuestError("no Debian archive keyring; install the package debian-archive-keyring")
        mirror = os.environ.get("VITRINE_GUESTS_MIRROR", MIRROR).rstrip("/")
        self._line = f"deb [arch={label.architecture} signed-by={keyring}] {mirror}/{{archive}} {{suite}} main\n"
        (self.folder / "sources.list").write_text(
            "".join(self._line.format(archive=archive, suite=suite) for archive, suite in label.suites)
        )

    def update(self) -> None:
        self._apt("apt-get", "update", "-q")

    def names(self) -> list[str]:
        """Of the packages of kernel images."""
        return self._apt("apt-cache", "pkgnames", "linux-image-").split()

    def fetch(self) -> Kernel:
        self.update()
        release = self._newest_release()
        image = f"linux-image-{release}"
        fields = self._show(image)
        packages = [image, *self._parts(fields["Depends"], release)]
        version = fields["Version"]
        root = _root(release, version)
        with locked(f"release-{release}"):
            if not root.is_dir():
                self._unpack(packages, root)
        kernel = Kernel(self.label.name, release, version, tuple(packages), root)
        if kernel.image and not kernel.modules:
            print(f"guests: {self.label.suites} has no modules of {release} any more", file=sys.stderr)
        note = {"release": release, "version": version, "packages": packages}
        with scratch("note") as folder:
            (folder / "note").write_text(json.dumps(note) + "\n")
            os.rename(folder / "note", cache_dir() / "kernels" / f"{self.label.name}.json")
        return kernel

    def fetch_debug_image(self, kernel: Kernel, target: Path) -> None:
        self.update()
        with scratch("debug") as folder:
            self._apt("apt-get", "download", "-q", f"linux-image-{kernel.release}-dbg={kernel.version}", folder=folder)
            [archive] = folder.glob("*.deb")
            packed = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
            _run(["tar", "-x", "-C", str(folder), f"./usr/lib/debug/boot/vmlinux-{kernel.release}"], stdin=packed.stdout)
            packed.wait()
            target.parent.mkdir(exist_ok=True)
            os.rename(folder / f"usr/lib/debug/boot/vmlinux-{kernel.release}", target)

    def _newest_release(self) -> str:
        releases = [release for name in self.names() if (release := self.label.release_of(name))]
        wanted = [release for release in releases if self.label.has(release)]
        if not releases:
            raise GuestError(f"no linux-image package in {self.label.suites}")
        if not wanted:
            print(
                f"guests: {self.label.suites} has no {self.label.series}* kernel any more; "
                "its newest one stands in",
                file=sys.stderr,
            )
        shown = {release: self._show(f"linux-image-{release}") for release in wanted or releases}
        # A metapackage of a series looks the same by its name.
        versions = {r: of["Version"] for r, of in shown.items() if "linux-image-" not in of.get("Depends", "")}
        if not versions:
            raise GuestError(f"{self.label.suites} has metapackages only of {self.label.series}")
        return max(versions, key=functools.cmp_to_key(lambda a, b: _compare(versions[a], versions[b])))

    def _parts(self, depends: str, release: str) -> list[str]:
        """From Linux 7 on the image package is empty and depends on the packages that hold its parts.

        Of superseded kernels an archive may lack `linux-base-*`, which holds nothing that boots.
        """
        names = re.findall(rf"linux-(?:base|binary|modules)-{re.escape(release)}(?=[\s,]|$)", depends)
        there = set(self._apt("apt-cache", "pkgnames", "linux-").split())
        return [name for name in dict.fromkeys(names) if name in there]

    def _unpack(self, packages: list[str], root: Path) -> None:
        with scratch("kernel") as folder:
            self._unpack_into(packages, folder / "tree")
            root.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder / "tree", root)

    def _unpack_into(self, packages: list[str], tree: Path) -> None:
        """Fetches packages and unpacks them, one over the other; nothing of them is run."""
        tree.mkdir(parents=True)
        with scratch("packages") as folder:
            self._apt("apt-get", "download", "-q", *packages, folder=folder)
            archives = sorted(folder.glob("*.deb"))
            if len(archives) != len(packages):
                raise GuestError(f"apt fetched {len(archives)} of the packages {', '.join(packages)}")
            for archive in archives:
                _run(["dpkg-deb", "-x", str(archive), str(tree)])

    def _add_suite(self, archive: str, suite: str) -> None:
        """One suite more to fetch from, until the object goes."""
        with open(self.folder / "sources.list", "a") as handle:
            handle.write(self._line.format(archive=archive, suite=suite))

    def _show(self, package: str) -> dict[str, str]:
        text = self._apt("apt-cache", "show", "--no-all-versions", package)
        lines = (line.split(": ", 1) for line in text.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        return {key: value for key, value in lines}

    def _apt(self, tool: str, *words: str, folder: Path | None = None) -> str:
        options = {
            "Dir::State": f"{self.folder}/state",
            "Dir::State::status": f"{self.folder}/state/status",
            "Dir::Cache": f"{self.folder}/cache",
            "Dir::Etc": f"{self.folder}/etc",
            "Dir::Etc::sourcelist": f"{self.folder}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": self.label.architecture,
            "APT::Sandbox::User": "root",  # root's cache may lie where the user _apt cannot go
            "Acquire::Languages": "none",
        }
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return _run([tool, *flags, *words], folder)


def _compare(a: str, b: str) -> int:
    for relation, result in (("lt", -1), ("gt", 1)):
        if subprocess.run(["dpkg", "--compare-versions", a, relation, b]).returncode == 0:
            return result
    return 0


def _run(command: list[str], folder: Path | None = None, stdin=None) -> str:
    done = subprocess.run(command, cwd=folder, stdin=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise GuestError(f"{' '.join(command)} failed with status {done.returncode}:\n{words}")
    return done.stdout
