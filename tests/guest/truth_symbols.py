"""The view `symbols` against /proc/kallsyms, line for line."""

from truth_values import doubts, number

MOST = 20


def collect(guest):
    """More truth, to be merged into the guest's own before compare(): some megabytes."""
    return {"kallsyms": guest.ask("kallsyms").decode("latin-1")}


def compare(truth, rows):
    """Returns the differences, a sentence each, the first few. Exact, the order included."""
    if "kallsyms" not in truth:
        return ["the truth has no kallsyms: call collect() first"]
    differences = doubts(rows)
    lines = truth["kallsyms"].splitlines()
    if len(lines) != len(rows):
        differences.append(f"{len(rows)} symbols, the guest lists {len(lines)}")
    for line, row in zip(lines, rows):
        seen = f"{number(row['address']):016x} {row['type']} {row['name']}"
        if row["module"] is not None:
            seen += f"\t[{row['module']}]"
        if seen != line:
            differences.append(f"{seen!r}, the guest says {line!r}")
            if len(differences) > MOST:
                differences.append("... and perhaps more")
                break
    return differences
