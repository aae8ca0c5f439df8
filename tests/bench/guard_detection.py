"""Every fixture, found by an FVM of either kind and told as gone; and how long from a symptom to its finding, and from
that to a frozen guest. The findings are read where they end: in the evidence."""

import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "guests"), str(ROOT / "tests/guest")]

import scan_test  # noqa: E402
from guard_lab import Failure, Lab, build_image, until  # noqa: E402
from vitrine_guests import Guest  # noqa: E402

MARKER = """Symptom marker {
    severity: critical
    text: "a process that the policy freezes the guest for"
    Every(1s) {
        for (one in processes) if (one.name == "freeze-me") { Report("%d", one.pid) }
    }
}
"""
POLICY = '[symptom.marker]\nactions = ["freeze"]\n'


FINDING, GONE, ACTION = 1, 2, 3  # src/evidence/entry.h: Kind


def entries_of(lab, name, after):
    """Entries of a guest's evidence beyond number `after`, with all that they hold."""
    store = lab.state / "evidence" / name / "evidence.db"
    if not store.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as base:
        rows = base.execute("SELECT sequence, kind, wall_ns, subject, key, body FROM entries WHERE sequence > ? ORDER BY sequence", (after,)).fetchall()
    return [dict(zip(("sequence", "kind", "wall_ns", "subject", "key", "body"), (*row[:5], json.loads(row[5])))) for row in rows]


class EvidenceReader:
    """What a guard wrote down, as scan_test's Scanner tells it."""

    def __init__(self, lab, name):
        self.lab, self.name, self.seen, self.waiting, self.remarks = lab, name, 0, [], []

    def _poll(self):
        for entry in entries_of(self.lab, self.name, self.seen):
            self.seen = entry["sequence"]
            if entry["kind"] not in (FINDING, GONE):
                continue
            body = entry["body"]
            told = body.get("finding") or {}
            when = time.monotonic() - (time.time_ns() - entry["wall_ns"]) / 1e9
            finding = {"state": "fresh" if entry["kind"] == FINDING else "gone", "symptom": entry["subject"], "identity": entry["key"],
                       "evidence": told.get("evidence") or {}, "pid": told.get("pid"), "message": body["words"]}  # fmt: skip
            self.waiting.append((when, finding))

    def settle(self, seconds):
        """All that is said until nothing more is for that long, and, where silence is what is asked for, for two whole
        passes: those of a virtual machine may take longer."""
        said, quiet = [], time.monotonic()
        passes = self.lab.guest(self.name)["passes"]
        while time.monotonic() - quiet < seconds or (seconds > 5 and self.lab.guest(self.name)["passes"] < passes + 3):
            self._poll()
            if self.waiting:
                said += [finding for _, finding in self.waiting]
                self.waiting, quiet, passes = [], time.monotonic(), self.lab.guest(self.name)["passes"]
            time.sleep(0.3)
        return said

    def wait(self, accept, seconds):
        others, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            self._poll()
            while self.waiting:
                when, finding = self.waiting.pop(0)
                if accept(finding):
                    return when, finding, others
                others.append(finding)
            time.sleep(0.2)
        return None, None, others


class GuardRun(scan_test.Run):
    """scan_test's groups, seen by a guard."""

    def __init__(self, programs, label, kind, patience):
        super().__init__(str(programs / "vitrine"), label, set())
        self.programs, self.kind, self.patience = programs, kind, patience
        self.frozen = []

    def check_images(self, guest, folder, cases):
        pass  # no FVM's work

    def run(self, folder):
        folder = Path(folder)
        self.environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "LANG": "C.UTF-8"}
        settings = {"policy": "policy.toml"}
        pack = folder / "pack"
        pack.mkdir()
        for path in (ROOT / "rules").iterdir():
            (pack / path.name).write_bytes(path.read_bytes())
        (pack / "required.txt").write_text("must-run\n")
        (pack / "marker.vmi").write_text(MARKER)
        if self.kind == "microvm":
            settings |= {"isolation": "microvm", "image": str(build_image(folder / "image", self.programs / "vitrine-fvm", pack))}
        lab = Lab(self.programs, **settings)
        (lab.folder / "policy.toml").write_text(POLICY)
        for path in pack.iterdir():
            (lab.rules / path.name).write_bytes(path.read_bytes())
        disk = scan_test.image_of(self.label, folder)
        extra = f"-qmp unix:{lab.machines / 'web1.qmp'},server=on,wait=off -drive file={disk},format=raw,if=virtio,readonly=on"
        with contextlib.ExitStack() as stack:
            stack.callback(lab.__exit__)
            guest = stack.enter_context(Guest(self.label, cpus=2, memory=256, backend="memfd", extra=extra))
            guest.run("mkdir -p /tmp; cd /tmp; tar xf /dev/vda 2>/dev/null; cp fixture must-run; cp fixture freeze-me; cp /bin/busybox /tmp/sleep")
            guest.run("/tmp/must-run wait >/dev/null 2>&1 </dev/null & /tmp/sleep 100000 >/dev/null 2>&1 </dev/null & echo $! > /tmp/sleep.pid")
            guest.run("/tmp/sleep 100001 >/dev/null 2>&1 </dev/null & echo $! > /tmp/sleep2.pid")
            status, text = guest.run("insmod /tmp/vitrine_fixture.ko")
            if status != 0:
                return self.fail(f"insmod: {text.decode(errors='replace')}")
            lab.start()
            lab.watched("web1", seconds=300)
            until(lambda: lab.guest("web1")["passes"] > 0, 300)
            reader = EvidenceReader(lab, "web1")
            actors = dict(reversed(line.split("\t")[:2]) for line in guest.file("/run/vitrine/actors").decode().splitlines())
            for finding in reader.settle(8.0):
                if not scan_test.expected_of_actors(finding, actors):
                    self.fail(f"a guest with nothing in it: {finding['symptom']}: {finding['message']}")
            scan_test.PATIENCE = self.patience
            for group in scan_test.GROUPS:
                if all(not case.symptom for case in group.cases):
                    self.try_clean(guest, reader, group.cases)
                else:
                    self.try_group(guest, reader, [case for case in group.cases if case.symptom not in scan_test.BEYOND_RAM], folder)
            try:
                self.freeze(lab, guest, 10 if self.kind == "process" else 3)
            except Failure as failure:
                told = [(e["subject"], e["body"].get("words")) for e in entries_of(lab, "web1", reader.seen)]
                self.fail(f"finding to freeze: {failure}; since then: {told}; guest: {guest.qmp('query-status')['status']}; {lab.guest('web1')}")
            lab.verify("web1")

    def freeze(self, lab, guest, times):
        """A process appears that the policy freezes the guest for: from the start of the pass that saw it until it is done
        and written down."""
        for _ in range(times):
            last = max((entry["sequence"] for entry in entries_of(lab, "web1", 0)), default=0)
            with contextlib.suppress(Exception):  # it may be frozen before it can answer
                guest.run("/tmp/freeze-me wait >/dev/null 2>&1 </dev/null &", timeout=10)

            def frozen():
                new = entries_of(lab, "web1", last)
                return next((e for e in new if e["kind"] == ACTION and e["subject"] == "freeze"), None)

            done = until(frozen, self.patience)
            found = next(e for e in entries_of(lab, "web1", last) if e["kind"] == FINDING and e["key"] == done["body"]["because"])
            if not done["body"]["done"] or guest.qmp("query-status")["status"] != "paused":
                self.fail(f"freeze: {done['body']}")
            seen = found["body"]["finding"]["first_seen"]
            self.frozen.append(done["wall_ns"] / 1e6 - datetime.fromisoformat(seen[:26].rstrip("Z") + "+00:00").timestamp() * 1e3)
            guest.qmp("cont")
            until(lambda: guest.run("killall -9 freeze-me 2>/dev/null; sleep 1; ! pidof freeze-me")[0] == 0, 30)
            until(lambda: any(e["kind"] == GONE and e["subject"] == "marker" for e in entries_of(lab, "web1", last)), self.patience)


def detection(programs, labels=("6.1", "6.12", "7.x"), kinds=("process", "microvm")):
    failures = []
    for kind in kinds:
        for label in labels:
            with tempfile.TemporaryDirectory(prefix="vitrine-detect-") as folder:
                run = GuardRun(programs, label, kind, 120.0 if kind == "process" else 300.0)
                print(f"{label}, {kind}:", flush=True)
                run.run(folder)
                failures += [f"{kind}: {text}" for text in run.failures]
                for what, times, unit in (("symptom to finding", run.found, "s"), ("undone to gone", run.gone, "s"), ("finding to freeze", run.frozen, "ms")):
                    if times:
                        print(f"  {label} {kind}: {what}: {len(times)}, median {statistics.median(times):.2f} {unit}, worst {max(times):.2f} {unit}", flush=True)
    if failures:
        raise Failure("\n".join(failures))


if __name__ == "__main__":
    detection(ROOT / "build/bin", sys.argv[2:] or ("6.1", "6.12", "7.x"), (sys.argv[1],) if len(sys.argv) > 1 else ("process", "microvm"))
