#!/usr/bin/env python3
"""Looks at real guests from outside, and compares every row with what the guest says itself.

    look_test.py --vitrine build/bin/vitrine                 all kernels, 1 and 2 CPUs
    look_test.py --kernels 6.1 7.x --cpus 2 --memory 5120    these alone
    look_test.py --images elf lime                           the same from images of the guest
    look_test.py --kernel-image bzImage [--kernel-modules lib/modules/RELEASE]   a kernel of your own

The guest prints its /proc, is paused at once, and every view is read from its RAM. A
difference is a failure; columns that move by themselves have the tolerances that the
comparisons (truth_VIEW.py) state. The last lines say what was compared and what was not.
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "guests")]

from truth_values import NOT_KNOWN  # noqa: E402
from images import KINDS, images_of  # noqa: E402
from vitrine_guests import LABELS, Guest  # noqa: E402

MOST_SHOWN = 12  # differences of one view
ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2})")
# What only a machine that runs can tell: an image without registers has none.
OF_THE_MACHINE = {
    "cpus": {"rip", "rip_symbol", "rsp", "rflags", "cr3", "privilege", "halted"},
    "interrupts": {"cpus"},
}
# Stacks of CPUs that ran: whole rows that an image without registers cannot have.
BY_REGISTERS = {"kernel_stacks", "user_stacks"}
# What stands in QEMU's own memory: images and machines without a QMP socket are refused.
OF_QEMU = {"system_call_entries"}


OVMF = (
    " -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
    " -drive if=pflash,format=raw,unit=1,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"
)


# What a kernel does not tell for want of a symbol: a whole view, or columns of it.
NO_SYMBOL = re.compile(r"this kernel has no symbol (\w+)")
MISSING = re.compile(r"^! (\w+(?:, \w+)*): (.*)$", re.M)


def lacks(truth, reason):
    """The symbol that `reason` names, if the guest's own kallsyms has none of that name either."""
    named = NO_SYMBOL.search(reason)
    return named[1] if named and not re.search(rf" {named[1]}$", truth["kallsyms"], re.M) else None


def leave_unknown(truth, rows, remarks):
    """The rows, with a mark for values that the view said to be missing, and that are."""
    unknown = {name for names, reason in MISSING.findall(remarks) if lacks(truth, reason) for name in names.split(", ")}
    unknown = [name for name in unknown if all(row.get(name, 0) is None for row in rows)]
    return [row | dict.fromkeys(unknown, NOT_KNOWN) for row in rows] if unknown else rows


def latin1(value, escaped):
    """A value of JSON with every text as the guest's bytes, one character each (docs/output.md)."""
    if isinstance(value, str):
        text = value.encode("utf-8").decode("latin-1")
        if not escaped:
            return text
        return ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)
    if isinstance(value, list):
        return [latin1(each, escaped) for each in value]
    return value


def row_of(line):
    row = json.loads(line)
    escaped = set(row.pop("escaped", []))
    return {name: latin1(value, name in escaped) for name, value in row.items()}


class Refused(AssertionError):
    """A command failed; its words."""


def refusal(failed):
    """What a command said at its end."""
    return str(failed).rpartition("vitrine: ")[2]


class Vitrine:
    """The program under test, run as a user would."""

    def __init__(self, program, cache):
        self.program = str(program)
        self.environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), "LANG": "C.UTF-8"}

    def run(self, *words):
        done = subprocess.run([self.program, *words], capture_output=True, env=self.environment, timeout=300)
        if done.returncode not in (0, 3):
            raise Refused(f"vitrine {' '.join(words)}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done

    def probe(self, *words):
        """Asks the probe that stands beside the program for what no command says."""
        program = Path(self.program).with_name("look_probe")
        return subprocess.run([program, *words], capture_output=True, env=self.environment, timeout=300).stdout

    def rows(self, view, machine, *more):
        done = self.run("show", view, machine, "--json", *more)
        return [row_of(line) for line in done.stdout.splitlines()], done.stderr.decode(errors="replace")

    def views(self):
        return [json.loads(line)["view"] for line in self.run("views", "--json").stdout.splitlines()]


def collect(guest):
    """What comparisons ask of the guest beside its truth; before that, as asking starts processes."""
    more = {}
    for path in sorted(HERE.glob("truth_*.py")):
        comparison = importlib.import_module(path.stem)
        if hasattr(comparison, "collect"):
            more |= comparison.collect(guest)
    return more


def compare_views(vitrine, machine, truth, report, only=None, qmp=True):
    """Every view of `machine` against the truth. Returns the rows by view."""
    seen = {}
    for view in vitrine.views():
        if (only and view not in only) or (view in OF_QEMU and not qmp):
            continue
        more = ["--columns", "+env"] if view == "processes" else []
        try:
            rows, remarks = vitrine.rows(view, machine, *more)
        except Refused as failed:
            if symbol := lacks(truth, refusal(failed)):
                report.refused(view, symbol)
            else:
                report.failed(view, [str(failed)])
            continue
        seen[view] = rows
        truth.setdefault("said", {})[view] = remarks
        try:
            comparison = importlib.import_module(f"truth_{view}")
        except ModuleNotFoundError:
            report.uncompared(view, len(rows))
            continue
        rows = leave_unknown(truth, rows, remarks)
        differences = list(comparison.compare(truth, rows))
        if not qmp:  # registers are QEMU's to tell: a CPU's own row says that it has none
            differences = [text for text in differences if not str(text).endswith(": no registers")]
            if view in BY_REGISTERS:
                rows = [row for row in rows if row.get("cpu") is None or row.get("address") is not None]
        differences += [f"doubtful: {row}" for row in rows if row.get("doubt") and not getattr(comparison, "DOUBTS", False)]
        report.compared(view, rows, differences, remarks)
    return seen


def compare_btf(vitrine, machine, guest, report):
    """The BTF that we found is the guest's own, byte for byte: so is every size and offset."""
    names = guest.btf_names()
    differences = []
    for name in names:
        ours, theirs = vitrine.probe("btf", machine, name), guest.btf(name)
        if ours != theirs:
            differences.append(f"/sys/kernel/btf/{name}: {len(ours)} bytes, the guest has {len(theirs)}")
    report.compared("BTF", names, differences, "")


def compare_objects(vitrine, machine, rows, report):
    """A few tasks by `type --at`: what a structure holds is what the rows said, which the guest's account has confirmed."""
    differences = []
    chosen = rows[:3] + rows[-5:]
    for row in chosen:
        task, parent = (
            json.loads(vitrine.run("type", machine, path, "--at", row["address"], "--json").stdout)
            for path in ("task_struct", "task_struct.real_parent->tgid")
        )
        held = task["value"]
        for name, ours, theirs in (
            ("address", task["address"], row["address"]),
            ("pid", held["pid"], row["pid"]),
            ("comm", latin1(held["comm"], True), row["name"]),
            ("parent", parent["value"], row["ppid"]),
        ):
            if ours != theirs:
                differences.append(f"task {row['pid']}: {name} is {ours!r}, not {theirs!r}")
    report.compared("type --at", chosen, differences, "")


def same_rows(view, live, image, registers):
    """Differences between a paused machine's rows and its image's; `registers`: the image has them."""
    leave = OF_THE_MACHINE.get(view, set())
    if view in BY_REGISTERS and not registers:
        live = [row for row in live if row.get("cpu") is None]
        image = [row for row in image if not (row.get("cpu") is not None and row.get("address") is None and row.get("doubt"))]

    def key(row):
        return json.dumps({name: value for name, value in row.items() if name not in leave}, sort_keys=True)

    before, after = [key(row) for row in live], [key(row) for row in image]
    missing, extra = set(before) - set(after), set(after) - set(before)
    return [f"image lacks {row}" for row in sorted(missing)] + [f"image adds {row}" for row in sorted(extra)]


def compare_image(vitrine, kind, path, seen, truth, report):
    differences, rows = [], 0
    for view, live in seen.items():
        if view in OF_QEMU:
            continue
        more = ["--columns", "+env"] if view == "processes" else []
        try:
            image, _ = vitrine.rows(view, str(path), *more)
        except Refused as failed:
            # Without registers nothing tells where a table is that no symbol names.
            if kind.startswith(("elf", "kdump")) or not lacks(truth, refusal(failed)):
                differences.append(str(failed))
            continue
        rows += len(image)
        differences += [f"{view}: {text}" for text in same_rows(view, live, image, kind.startswith(("elf", "kdump")))]
    report.compared(f"image {kind}", range(rows), differences, "")


class Report:
    def __init__(self):
        self.wrong = 0
        self.left_out = []
        self.without = {}
        self.rows = 0

    def compared(self, what, rows, differences, remarks):
        self.rows += len(rows)
        columns = max((len(row) for row in rows if isinstance(row, dict)), default=0)
        print(f"  {what:<15} {len(rows):>7} rows {columns:>3} columns  {len(differences):>4} differences", flush=True)
        if remarks.strip():
            print(f"      said: {remarks.strip()[:300]}")
        self.failed(what, differences, header=False)

    def failed(self, what, differences, header=True):
        self.wrong += len(differences)
        if header:
            print(f"  {what:<15} failed")
        for text in differences[:MOST_SHOWN]:
            print(f"      {str(text)[:600]}")
        if len(differences) > MOST_SHOWN:
            print(f"      ... and {len(differences) - MOST_SHOWN} more")

    def refused(self, what, symbol):
        self.without[what] = symbol
        print(f"  {what:<15} refused: neither does the guest's kallsyms have {symbol}")

    def uncompared(self, what, rows):
        self.left_out.append(what)
        print(f"  {what:<15} {rows:>7} rows  not compared: no truth_{what}.py")


def look(options, label, cpus, memory, report):
    print(f"Linux {label}, {cpus} CPU{'s' if cpus > 1 else ''}, {memory} MiB, {options.machine}, {options.backend} memory", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vitrine-cache-") as cache, Guest(
        label, memory=memory, cpus=cpus, machine=options.machine, backend=options.backend, cpu=options.cpu, extra=options.extra,
        append=options.append, qmp=options.qmp,
    ) as guest:
        vitrine = Vitrine(options.vitrine, cache)
        more = collect(guest)
        if not options.views:
            compare_btf(vitrine, guest.name, guest, report)
        truth = guest.truth()
        guest.pause()
        truth |= more
        seen = compare_views(vitrine, guest.name, truth, report, options.views, options.qmp)
        if "processes" in seen and not options.views:
            compare_objects(vitrine, guest.name, seen["processes"], report)
        for kind, path in images_of(guest, options.images):
            compare_image(vitrine, kind, path, seen, truth, report)
    print(f"  {time.monotonic() - begin:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--kernels", nargs="+", default=list(LABELS), metavar="LABEL", help="also 6.1-cloud, 6.1-rt ...: guests/guest kernels --help")
    parser.add_argument("--kernel-image", nargs="+", type=Path, metavar="FILE", help="kernels of your own (bzImage) instead")
    parser.add_argument("--kernel-modules", type=Path, metavar="FOLDER", help="the lib/modules/RELEASE of --kernel-image")
    parser.add_argument("--cpus", nargs="+", default=[1, 2], type=int)
    parser.add_argument("--memory", nargs="+", default=[256], type=int, metavar="MIB")
    parser.add_argument("--machine", default="q35")
    parser.add_argument("--backend", default="anonymous")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--extra", default="", help="more options for QEMU, in one word")
    parser.add_argument("--append", default="", help="more of a kernel command line, in one word")
    parser.add_argument("--no-qmp", dest="qmp", action="store_false", help="a guest without a QMP socket (and what needs one is not compared)")
    parser.add_argument("--firmware", help="ovmf: a UEFI guest (package ovmf)", choices=["ovmf"])
    parser.add_argument("--views", nargs="+", default=[])
    parser.add_argument("--images", nargs="*", default=[], choices=KINDS)
    options = parser.parse_args()
    if options.firmware:
        options.extra += OVMF
    if options.kernel_image:
        modules = f":{options.kernel_modules.resolve()}" if options.kernel_modules else ""
        options.kernels = [f"{image.resolve()}{modules}" for image in options.kernel_image]
    report = Report()
    for label in options.kernels:
        for memory in options.memory:
            for cpus in options.cpus:
                look(options, label, cpus, memory, report)
    if report.without:
        print("not to be had: " + ", ".join(f"{view} (no {symbol})" for view, symbol in sorted(report.without.items())))
    if report.left_out:
        print(f"not compared: {', '.join(sorted(set(report.left_out)))}")
    print(f"{report.rows} rows compared, {report.wrong} differences")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
