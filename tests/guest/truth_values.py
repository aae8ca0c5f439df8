"""Values of rows and of the guest's files, as the comparisons need them."""

import datetime
import re


class NotKnown:
    """What the kernel does not tell, as the view said with its reason: equal to whatever the guest says."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = None

    def __repr__(self):
        return "(not known)"


NOT_KNOWN = NotKnown()


def number(value):
    """An address or mask ("0xffff...", "0x1f") or a plain integer; None stays None."""
    return int(value, 0) if isinstance(value, str) else value


def nanoseconds(value):
    """A duration: JSON has seconds."""
    return value if value is None or value is NOT_KNOWN else round(value * 1e9)


def epoch(value):
    """A time, ISO 8601 in JSON, as nanoseconds since 1970 (to the microsecond)."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", value).replace("Z", "+00:00")
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1e9)


def text(value):
    """A file's text without its last newline; None for a file that is not there."""
    return value.removesuffix("\n") if value is not None else None


def differ(differences, where, column, expected, seen):
    if expected != seen:
        differences.append(f"{where}: {column} is {seen!r}, the guest says {expected!r}")


def doubts(rows):
    return [f"a doubtful row on a paused guest: {row}" for row in rows if row.get("doubt")]


def doubts_of_stacks(truth, rows):
    """Doubtful rows, but for stacks of threads that may run where the kernel names no CPU's task."""
    known = re.search(r" (current_task|pcpu_hot)$", truth["kallsyms"], re.M)
    return doubts(row for row in rows if known or not (row.get("doubt") or "").startswith("it may run"))


def networks_of(truth, rows):
    """The guest's networks by their namespace's inode, as text.

    A kernel without CONFIG_NET_NS names its one network nowhere: that is then the one that all rows name.
    """
    networks = truth["networks"]
    named = {str(row["netns"]) for row in rows}
    if set(networks) == {""} and len(named) == 1:
        return {named.pop(): networks[""]}
    return networks
