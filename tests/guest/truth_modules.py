"""The view `modules` against /proc/modules and /sys/module."""

from truth_values import differ, doubts, number, text

# What the truth printer does not give: one line a module, name|parameters|notes in hex|BTF.
_MORE = r"""
for m in /sys/module/*; do
  [ -e $m/initstate ] || continue
  b=${m##*/}
  p=; for f in $m/parameters/*; do [ -e "$f" ] && p="$p ${f##*/}"; done
  t=no; [ -e /sys/kernel/btf/$b ] && t=yes
  n=$(hexdump -v -e '1/1 "%02x"' $m/notes/.note.gnu.build-id 2>/dev/null)
  echo "$b|$p|$n|$t"
done
"""


def collect(guest):
    """More truth, to be merged into the guest's own before compare()."""
    status, output = guest.run(_MORE)
    if status != 0:
        raise RuntimeError(f"the guest cannot list /sys/module: {output!r}")
    lines = [line.split("|") for line in output.decode("latin-1").splitlines()]
    return {"module_details": {name: rest for name, *rest in lines}}


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact: nothing here moves by itself."""
    differences = doubts(rows)
    lines = [line.split(" ") for line in truth["files"]["/proc/modules"].splitlines()]
    expected = [words[0] for words in lines]
    seen = [row["name"] for row in rows]
    if expected != seen:
        differences.append(f"modules are {seen}, the guest lists {expected}")
        return differences
    for words, row in zip(lines, rows):
        compare_line(differences, words, row)
        compare_files(differences, truth["modules"].get(row["name"]), row)
        compare_details(differences, truth.get("module_details", {}).get(row["name"]), row)
        compare_exit(differences, truth.get("kallsyms", ""), row)
    unlisted = set(truth["modules"]) - set(seen)
    if unlisted:
        differences.append(f"in /sys/module alone: {sorted(unlisted)}")
    return differences


def compare_line(differences, words, row):
    name, size, references, users, state, address = words[:6]
    taints = words[6].strip("()+-") if len(words) > 6 else ""
    # "[permanent]" stands among the users of a module that has no exit function.
    permanent = "[permanent]" in users
    used_by = [user for user in users.split(",") if user not in ("", "-", "[permanent]")]
    differ(differences, name, "size", int(size), row["size"])
    differ(differences, name, "references", int(references), row["references"])
    differ(differences, name, "used_by", used_by, row["used_by"])
    differ(differences, name, "state", state, row["state"])
    differ(differences, name, "core", int(address, 16), number(row["core"]))
    differ(differences, name, "taints", taints, row["taints"])
    if permanent:
        differ(differences, name, "exit", None, row["exit"])


def compare_files(differences, files, row):
    name = row["name"]
    if files is None:
        differences.append(f"{name} is not in /sys/module")
        return
    differ(differences, name, "version", text(files["version"]), row["version"])
    differ(differences, name, "srcversion", text(files["srcversion"]), row["srcversion"])
    if files["coresize"] is not None:
        core = row["text_size"] + row["rodata_size"] + row["ro_after_init_size"] + row["data_size"]
        differ(differences, name, "its parts' sizes", int(files["coresize"]), core)
    if files["initsize"] is not None:
        differ(differences, name, "init_size", int(files["initsize"]), row["init_size"])
    if files["taint"] is not None:
        differ(differences, name, "taints", text(files["taint"]), row["taints"])
    places = {
        ".text": ("text", "text_size"),
        ".rodata": ("rodata", "rodata_size"),
        ".data": ("data", "data_size"),
        ".bss": ("data", "data_size"),
    }
    for section, (start, size) in places.items():
        address = number(text(files["sections"].get(section)))
        if address is None:
            continue
        first = number(row[start])
        if first is None or not first <= address < first + row[size]:
            differences.append(f"{name}: {section} at {address:#x} is not in its {start}, {row[start]} + {row[size]}")
    itself = number(text(files["sections"].get(".gnu.linkonce.this_module")))
    if itself is not None:
        differ(differences, name, "address", itself, number(row["address"]))


def compare_details(differences, details, row):
    if details is None:
        return
    parameters, note, has_btf = details
    # sysfs lists names in its own order; the kernel keeps them in the module's.
    differ(differences, row["name"], "parameters", sorted(parameters.split()), sorted(row["parameters"]))
    # namesz 4, descsz, type 3, "GNU\0", and the id.
    differ(differences, row["name"], "build_id", note[32:] or None, row["build_id"])
    differ(differences, row["name"], "has_btf", has_btf == "yes", row["has_btf"])


def compare_exit(differences, kallsyms, row):
    if not kallsyms or row["exit"] is None:
        return
    name = row["name"]
    line = f"{number(row['exit']):016x} t {row['exit_symbol']}\t[{name}]\n"
    if line not in kallsyms:
        differences.append(f"{name}: kallsyms has no {line!r}")
