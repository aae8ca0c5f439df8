"""What a label asks for: the newest kernel of a series and flavour in a suite."""

import re
from dataclasses import dataclass

from .errors import GuestError

# One flavour's images alone: `-dbg`, `-unsigned` and the metapackages do not match.
IMAGE = r"^linux-image-(\d+\.\d+(?:\.\d+)?[^-]*(?:-\d[^-]*)?-{flavour})$"
BY_SUITE = re.compile(r"^([a-z]+(?:-[a-z]+)?):(\d+(?:\.\d+)?)(?::([a-z0-9-]+))?$")


@dataclass(frozen=True)
class Label:
    """What a label asks for: the newest kernel of `series` in `suites`.

    `series` is a prefix of the release, in whole numbers; the newest package of `suites` stands in when the series has gone.
    """

    name: str
    suites: tuple[tuple[str, str], ...]  # (archive, suite)
    series: str
    flavour: str = "amd64"

    @property
    def architecture(self) -> str:
        return "i386" if "686" in self.flavour else "amd64"

    @property
    def index(self) -> str:
        """Labels of one suite share what apt knows of it."""
        found = BY_SUITE.match(self.name)
        return f"{found[1]}-{self.architecture}" if found else self.name

    def release_of(self, package: str) -> str | None:
        """The kernel's release, when `package` is an image of this flavour."""
        found = re.match(IMAGE.format(flavour=re.escape(self.flavour)), package)
        return found[1] if found else None

    def has(self, release: str) -> bool:
        rest = release.removeprefix(self.series)
        return rest != release and (self.series.endswith(".") or not rest[:1].isdigit())


# What tests run at every change.
LABELS = {
    label.name: label
    for label in (
        Label("5.10", (("debian", "bullseye"), ("debian-security", "bullseye-security")), "5.10."),
        Label("6.1", (("debian", "bookworm"), ("debian-security", "bookworm-security")), "6.1."),
        Label("6.12", (("debian", "bookworm-backports"),), "6.12."),
        Label("7.x", (("debian", "trixie-backports"),), "7."),
    )
}

# Kernels beside the matrix: other configurations of it, and what the next Debian has.
MORE_LABELS = {
    label.name: label
    for label in (
        Label("5.10-cloud", (("debian", "bullseye"), ("debian-security", "bullseye-security")), "5.10.", "cloud-amd64"),
        Label("5.10-rt", (("debian", "bullseye"), ("debian-security", "bullseye-security")), "5.10.", "rt-amd64"),
        Label("6.1-cloud", (("debian", "bookworm"), ("debian-security", "bookworm-security")), "6.1.", "cloud-amd64"),
        Label("6.1-rt", (("debian", "bookworm"), ("debian-security", "bookworm-security")), "6.1.", "rt-amd64"),
        Label("6.12-cloud", (("debian", "bookworm-backports"),), "6.12.", "cloud-amd64"),
        Label("6.12-trixie", (("debian", "trixie"),), "6.12."),
        Label("6.12-rt", (("debian", "trixie"),), "6.12.", "rt-amd64"),
        Label("7.x-cloud", (("debian", "trixie-backports"),), "7.", "cloud-amd64"),
        Label("7.x-rt", (("debian", "trixie-backports"),), "7.", "rt-amd64"),
    )
}


def find_label(name: str) -> Label:
    """One of the above, or SUITE:SERIES[:FLAVOUR], such as trixie-backports:6.18:rt-amd64. Raises GuestError."""
    if label := (LABELS | MORE_LABELS).get(name):
        return label
    if found := BY_SUITE.match(name):
        archive = "debian-security" if found[1].endswith("-security") else "debian"
        return Label(name, ((archive, found[1]),), found[2], found[3] or "amd64")
    raise GuestError(f"no kernel label {name!r}; there are {', '.join(LABELS | MORE_LABELS)}, and SUITE:SERIES[:FLAVOUR]")
