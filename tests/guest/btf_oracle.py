#!/usr/bin/env python3
"""Compares our reading of a BTF blob with that of bpftool and pahole.

    tests/guest/btf_oracle.py [--btf-dump build/bin/btf_dump] [--base VMLINUX] [--no-pahole] BLOB...

BLOB is what the kernel has in /sys/kernel/btf/NAME (or the .BTF section of its ELF);
for a module, --base gives vmlinux's.

bpftool: every type's kind, name, size, reference; every member's bit offset and width; every
enumerator's value; every parameter; every per-CPU variable's place. One difference fails.
pahole (vmlinux only): every definition whose name is unique, line by line, without white space
and without what pahole infers rather than reads: forced alignment, "try to pack", the
padding inside a member. Differences are counted and the first are shown; they do not
fail, unless --strict is given: an offset that differs has failed above.
"""
import argparse
import json
import re
import subprocess
import sys

SHOWN = 5


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])}: {done.stderr.strip()}")
    return done.stdout


def ours(dump, blob, base):
    types, current = {}, None
    for line in run(dump, "layout", blob, *([base] if base else [])).splitlines():
        words = line.split(" ")
        if words[0] == "T":
            current = {"kind": words[2], "size": int(words[3]), "count": int(words[4]),
                       "target": int(words[5]), "name": " ".join(words[6:]), "items": []}
            types[int(words[1])] = current
        elif words[0] == "M":
            current["items"].append((int(words[1]), int(words[2]), int(words[3]), " ".join(words[4:])))
        elif words[0] in "EP":
            current["items"].append((int(words[1]), " ".join(words[2:])))
        else:
            current["items"].append(tuple(int(word) for word in words[1:]))
    return types


def bare(name):
    return "" if name == "(anon)" else name


def items_of(theirs, signed):
    kind = theirs["kind"]
    if kind in ("STRUCT", "UNION"):
        return [(m["bits_offset"], m.get("bitfield_size", 0), m["type_id"], bare(m["name"]))
                for m in theirs["members"]]
    if kind in ("ENUM", "ENUM64"):
        def value(number):
            # bpftool prints what it takes for unsigned as such; compare the same bits.
            if kind == "ENUM64":
                return (number + 2**63) % 2**64 - 2**63
            return (number + 2**31) % 2**32 - 2**31 if signed else number % 2**32
        return [(value(v["val"]), v["name"]) for v in theirs["values"]]
    if kind == "FUNC_PROTO":
        return [(p["type_id"], bare(p["name"])) for p in theirs["params"]]
    if kind == "DATASEC":
        return [(v["type_id"], v["offset"], v["size"]) for v in theirs["vars"]]
    return []


def compare_bpftool(arguments, blob):
    bpftool = ["bpftool", "-j"] + (["-B", arguments.base] if arguments.base else [])
    theirs = json.loads(run(*bpftool, "btf", "dump", "file", blob))["types"]
    mine = ours(arguments.btf_dump, blob, arguments.base)
    first = min(mine, default=1)
    theirs = [t for t in theirs if t["id"] >= first]  # bpftool shows the base, too
    # Before Linux 6.0, blobs do not say which enumerations are signed: then all count as such.
    knows_sign = any(t.get("encoding") == "SIGNED" or t["kind"] == "ENUM64"
                     for t in theirs if t["kind"].startswith("ENUM"))
    counts = dict.fromkeys(("types", "structs", "unions", "members", "bit fields", "enumerators",
                            "parameters", "variables"), 0)
    differences = []

    def differ(t, what, theirs, ours):
        differences.append(f"{t['kind']} {t['id']} {t['name']}: {what}: bpftool {theirs}, we {ours}")

    for t in theirs:
        counts["types"] += 1
        me = mine.pop(t["id"], None)
        if me is None:
            differ(t, "type", "there", "missing")
            continue
        if me["kind"] != t["kind"]:
            differ(t, "kind", t["kind"], me["kind"])
        if me["name"] != bare(t["name"]):
            differ(t, "name", t["name"], me["name"])
        if "size" in t and me["size"] != t["size"]:
            differ(t, "size", t["size"], me["size"])
        target = t.get("type_id", t.get("ret_type_id", 0))
        if me["target"] != target:
            differ(t, "reference", target, me["target"])
        if t["kind"] == "ARRAY" and me["count"] != t["nr_elems"]:
            differ(t, "elements", t["nr_elems"], me["count"])
        signed = t.get("encoding") == "SIGNED" or (t["kind"] == "ENUM" and not arguments.base and not knows_sign)
        if arguments.base and t["kind"] == "ENUM":
            signed = any(value < 0 for value, _ in me["items"])  # the base's blob decides
        expected = items_of(t, signed)
        if len(expected) != len(me["items"]):
            differ(t, "elements", len(expected), len(me["items"]))
        for one, other in zip(expected, me["items"]):
            if one != other:
                differ(t, "element", one, other)
        if t["kind"] in ("STRUCT", "UNION"):
            counts[t["kind"].lower() + "s"] += 1
            counts["members"] += len(expected)
            counts["bit fields"] += sum(1 for each in expected if each[1])
        elif t["kind"].startswith("ENUM"):
            counts["enumerators"] += len(expected)
        elif t["kind"] == "FUNC_PROTO":
            counts["parameters"] += len(expected)
        elif t["kind"] == "DATASEC":
            counts["variables"] += len(expected)
    for number, type_ in mine.items():
        differences.append(f"{number} {type_['name']}: bpftool does not have it")
    print(f"{blob}: bpftool: " + ", ".join(f"{n} {what}" for what, n in counts.items()) +
          f": {len(differences)} differences")
    for each in differences[:SHOWN]:
        print("   ", each)
    return not differences


INFERRED = re.compile(r"XXX last struct|Force|:0;|paddings:|forced alignments|bit_padding|^\s*$|"
                      r"XXX \d+ empty|sum bitfield members|BRAIN FART|Bitfield combined|typedef struct \{$")


def normal(line):
    line = re.sub(r"__attribute__\(\(\w+(\(\d+\))?\)\)\s?", "", line)
    line = re.sub(r"\bconst (const )+", "const ", line)
    line = line.replace(", try to pack", "").replace("[0]", "[]")
    return re.sub(r"\s+", "", line)


def definitions(text):
    """name -> the normalized lines of its definition, for names that occur once"""
    found, name, lines = {}, None, []
    for line in text.splitlines():
        start = re.match(r"^(struct|union) (\w+) \{$", line)
        if start:
            name, lines = " ".join(start.groups()), []
        elif line.startswith("}"):
            if name:
                found.setdefault(name, []).append(lines)
            name = None
        elif name and name.startswith("union") and re.match(r"^\t/\* (size|last cacheline):", line):
            pass  # pahole sums up structures only
        elif name and not INFERRED.search(line.strip()):
            lines.append(normal(line))
    return {name: bodies[0] for name, bodies in found.items() if len(bodies) == 1}


def compare_pahole(arguments, blob):
    theirs = definitions(run("pahole", "-F", "btf", blob))
    repeated = set()
    seen = set()
    for type_ in ours(arguments.btf_dump, blob, None).values():
        if type_["kind"] in ("STRUCT", "UNION"):
            name = f"{type_['kind'].lower()} {type_['name']}"
            (repeated if name in seen else seen).add(name)
    names = sorted(name for name in theirs if name in seen and name not in repeated)
    mine = {}
    for i in range(0, len(names), 500):
        mine.update(definitions(run(arguments.btf_dump, "format", blob, *names[i:i + 500])))
    lines = equal_lines = 0
    differing = []
    for name in names:
        one, other = theirs[name], mine.get(name, [])
        lines += len(one)
        if one == other:
            equal_lines += len(one)
            continue
        pair = next(((a, b) for a, b in zip(one + ["(end)"], other + ["(end)"]) if a != b), ("", ""))
        differing.append(f"{name}: pahole {pair[0]}, we {pair[1]}")
    print(f"{blob}: pahole: {len(names)} definitions, {lines} lines: {len(differing)} definitions differ")
    for each in differing[:arguments.show]:
        print("   ", each)
    return not differing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--btf-dump", default="build/bin/btf_dump")
    parser.add_argument("--base")
    parser.add_argument("--no-pahole", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--show", type=int, default=SHOWN)
    parser.add_argument("blob", nargs="+")
    arguments = parser.parse_args()
    good = True
    for blob in arguments.blob:
        print(f"{blob}: ours: " + run(arguments.btf_dump, "time", blob,
                                      *([arguments.base] if arguments.base else [])).strip())
        good &= compare_bpftool(arguments, blob)
        if not arguments.base and not arguments.no_pahole:
            good &= compare_pahole(arguments, blob) or not arguments.strict
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
