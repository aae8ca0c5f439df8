"""The view `standard_streams` against /proc/PID/fd of every process that has a program."""

from truth_processes import status_fields, text


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact, but for the printer's own streams."""
    by_pid = {row["pid"]: row for row in rows}
    told = {int(pid): process for pid, process in truth["processes"].items() if text(process.get("exe"))}
    differences = [f"{pid}: we have it, the guest has no program there" for pid in sorted(set(by_pid) - set(told))]
    for pid, process in sorted(told.items()):
        row = by_pid.get(pid)
        if row is None:
            if status_fields(process)["State"][0] not in "ZX":
                differences.append(f"{pid}: the guest has it, we have not")
            continue
        status = status_fields(process)
        uid, euid = (int(number) for number in status["Uid"].split()[:2])
        expected = {"parent": int(status["PPid"]), "uid": uid, "euid": euid, "path": text(process["exe"])}
        if pid != truth["printer"]:
            links = {int(number): text(descriptor.get("link")) for number, descriptor in process["fd"].items()}
            expected |= {name: links.get(number) for number, name in enumerate(("input", "output", "errors"))}
        differences += [f"{pid} {name}: the guest says {value!r}, we say {row[name]!r}" for name, value in expected.items() if row[name] != value]
        if row["relay"] is not None:
            differences.append(f"{pid}: relayed by {row['relay']}, in a guest where nobody is")
    return differences
