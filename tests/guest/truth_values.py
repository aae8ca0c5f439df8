"""Values of rows and of the guest's files, as the comparisons need them."""

import datetime
import re


def number(value):
    """An address or mask ("0xffff...", "0x1f") or a plain integer; None stays None."""
    return int(value, 0) if isinstance(value, str) else value


def nanoseconds(value):
    """A duration: nanoseconds as an integer, or seconds as a float (the command line's JSON)."""
    return round(value * 1e9) if isinstance(value, float) else value


def epoch(value):
    """A time: nanoseconds since 1970 as an integer, or ISO 8601 (the command line's JSON)."""
    if not isinstance(value, str):
        return value
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
