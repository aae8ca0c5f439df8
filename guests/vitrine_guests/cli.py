"""The command `guest`."""

import argparse
import sys
import time
from pathlib import Path

from . import fvm_image, initramfs, kernels, programs, readme, state
from .errors import GuestError
from .labels import LABELS, MORE_LABELS
from .machine import BACKENDS, Guest, Options
from .own_kernel import is_path


def main(words: list[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    try:
        return arguments.run(arguments) or 0
    except GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="guest", description="Boots and questions Vitrine's test guests.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    kernels_command = add("kernels", _kernels, "fetch all kernels and say their versions")
    kernels_command.add_argument("labels", nargs="*", default=list(LABELS), metavar="LABEL", help="these alone; also SUITE:SERIES[:FLAVOUR]")
    kernels_command.add_argument("--refresh", action="store_true", help="ask the archive for newer ones")
    kernels_command.add_argument("--offered", nargs="+", metavar="SUITE", help="only list what these suites have, as labels")
    add("build", _build, "build the guest's programs and all initramfs archives")
    image = add("fvm-image", _fvm_image, "build the image of a forensic virtual machine")
    image.add_argument("out", type=Path, metavar="FOLDER")
    image.add_argument("--sensor", type=Path, required=True, metavar="FILE", help="the program vitrine-fvm")
    image.add_argument("--rules", type=Path, action="append", default=[], metavar="FOLDER", help="its pack")
    actors = add("actors", _actors, "list the actors and what each shows")
    actors.add_argument("--readme", action="store_true", help="renew the table in guests/README.md")
    add("list", _list, "list the running guests")

    up = add("up", _up, "boot a guest and leave it running")
    up.add_argument("label", metavar="LABEL", help=", ".join([*LABELS, *MORE_LABELS, "SUITE:SERIES[:FLAVOUR]", "or ./BZIMAGE[:MODULES], MODULES a lib/modules/RELEASE"]))
    up.add_argument("--name", help="default: guest-LABEL")
    up.add_argument("--memory", type=int, default=Options.memory, metavar="MiB")
    up.add_argument("--cpus", type=int, default=Options.cpus, metavar="N")
    up.add_argument("--machine", default=Options.machine, help="q35 (default) or pc")
    up.add_argument("--cpu", default=Options.cpu, metavar="MODEL", help="default: max")
    up.add_argument("--backend", choices=BACKENDS, default=Options.backend, help="what its RAM is made of")
    up.add_argument("--append", default="", metavar="WORDS", help="more of a kernel command line")
    up.add_argument("--accel", choices=("tcg", "kvm", "auto"), default=Options.accel)
    up.add_argument("--no-qmp", dest="qmp", action="store_false", help="no QMP socket at all")
    up.add_argument("--qmp-socket", metavar="PATH")
    up.add_argument("--extra", default="", metavar="WORDS", help="more options for QEMU")
    up.add_argument("--reboot", action="store_true", help="let the machine reset; else QEMU ends there")

    def add_named(name: str, run, text: str, *more: tuple[str, dict]) -> argparse.ArgumentParser:
        command = add(name, run, text)
        command.add_argument("name", metavar="NAME")
        for word, how in more:
            command.add_argument(word, **how)
        return command

    add_named("truth", _truth, "print what the guest says about itself, as one line of JSON")
    add_named("kallsyms", _bulk("kallsyms"), "print the guest's /proc/kallsyms")
    add_named("btf", _btf, "print a BTF blob of the guest", ("which", {"nargs": "?", "default": "vmlinux"}))
    add_named("ask", _ask, "send any request to the truth printer", ("words", {"nargs": "+"}))
    add_named("run", _run, "run a command in the guest", ("command", {"nargs": argparse.REMAINDER}))
    add_named("pause", lambda a: Guest.attach(a.name).pause(), "stop the guest's CPUs")
    add_named("resume", lambda a: Guest.attach(a.name).resume(), "let the guest run on")
    dump = add_named("dump", _dump, "write an ELF core of the guest's RAM", ("file", {"metavar": "FILE"}))
    dump.add_argument("--paging", action="store_true", help="with virtual addresses")
    down = add("down", _down, "end a guest")
    down.add_argument("name", nargs="?", metavar="NAME")
    down.add_argument("--all", action="store_true", help="every guest that `guest up` started")
    return parser


def _kernels(arguments: argparse.Namespace) -> None:
    if arguments.offered:
        print("\n".join(label for suite in arguments.offered for label in kernels.offered(suite)))
        return
    for label in arguments.labels:
        kernel = kernels.fetch(label, arguments.refresh)
        print(f"{label:6} {kernel.release:24} {kernel.version:22} {kernel.image}")


def _build(arguments: argparse.Namespace) -> None:
    for label in LABELS:
        archive = initramfs.build(kernels.fetch(label))
        print(f"{label:6} {archive.stat().st_size / 2**20:5.1f} MiB {archive}")


def _fvm_image(arguments: argparse.Namespace) -> None:
    for name, digest in fvm_image.build(arguments.out, arguments.sensor, arguments.rules).items():
        print(f"{digest}  {name}")


def _actors(arguments: argparse.Namespace) -> None:
    if arguments.readme:
        readme.renew()
        return
    for name, when, shows in programs.actor_table(programs.actors()):
        print(f"{name:16} {when:8} {shows}")


def _list(arguments: argparse.Namespace) -> None:
    for name in state.names():
        note = state.read_note(name)
        if note and state.is_alive(note):
            print(f"{name:20} {note['pid']:8} {note['label']:6} {note['release']:24} {note['accel']}")


def _up(arguments: argparse.Namespace) -> None:
    fields = Options.__dataclass_fields__
    options = {key: value for key, value in vars(arguments).items() if key in fields}
    guest = Guest(arguments.label, arguments.name or f"guest-{Path(arguments.label.partition(':')[0]).name if is_path(arguments.label) else arguments.label}", detached=True, **options)
    try:
        guest.boot()
    except BaseException:
        guest.close()
        raise
    note = guest.note
    if guest.why_tcg:
        print(f"under TCG, for {guest.why_tcg}")
    print(f"{guest.name}: Linux {note['release']} is up after {guest.boot_seconds} s ({guest.accel})")
    print(f"  pid      {guest.pid}")
    if guest.options.qmp:
        print(f"  qmp      {note['qmp']}")
        print(f"  qmp      {note['qmp_tests']} (used by `guest`)")
    print(f"  console  {note['console']}, log {note['log']}")
    print(f"  try      guest run {guest.name} ps; guest truth {guest.name}; guest down {guest.name}")


def _truth(arguments: argparse.Namespace) -> None:
    _write(Guest.attach(arguments.name).truth_text() + b"\n")


def _bulk(request: str):
    return lambda arguments: _write(Guest.attach(arguments.name).ask(request))


def _btf(arguments: argparse.Namespace) -> None:
    _write(Guest.attach(arguments.name).btf(arguments.which))


def _ask(arguments: argparse.Namespace) -> None:
    _write(Guest.attach(arguments.name).ask(" ".join(arguments.words)))


def _run(arguments: argparse.Namespace) -> int:
    status, output = Guest.attach(arguments.name).run(" ".join(arguments.command))
    _write(output)
    return status


def _dump(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()
    Guest.attach(arguments.name).dump(arguments.file, arguments.paging)
    print(f"{arguments.file}: written in {time.monotonic() - begin:.1f} s")


def _down(arguments: argparse.Namespace) -> None:
    if not arguments.all and not arguments.name:
        raise GuestError("which one? a NAME or --all")
    for name in state.names() if arguments.all else [arguments.name]:
        try:
            guest = Guest.attach(name)
        except GuestError:
            if not arguments.all:
                raise
            continue
        if arguments.all and not guest.note.get("detached"):
            continue  # a test's own: it ends with the test
        guest.close()
        print(f"{name}: ended")


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
