"""The view `interrupts` against what every Linux sets up, and against /proc/kallsyms."""

from truth_kernel import cpus
from truth_values import differ, doubts, number

# arch/x86/kernel/idt.c: the same on every kernel from 5.8 on.
HANDLERS = {
    0: "asm_exc_divide_error", 1: "asm_exc_debug", 2: "asm_exc_nmi", 3: "asm_exc_int3", 4: "asm_exc_overflow",
    5: "asm_exc_bounds", 6: "asm_exc_invalid_op", 7: "asm_exc_device_not_available", 8: "asm_exc_double_fault",
    10: "asm_exc_invalid_tss", 11: "asm_exc_segment_not_present", 12: "asm_exc_stack_segment",
    13: "asm_exc_general_protection", 14: "asm_exc_page_fault", 16: "asm_exc_coprocessor_error",
    17: "asm_exc_alignment_check", 18: "asm_exc_machine_check", 19: "asm_exc_simd_coprocessor_error",
}  # fmt: skip
NAMES = {
    0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP",
    12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM", 20: "#VE", 21: "#CP", 28: "#HV",
    29: "#VC", 30: "#SX",
}  # fmt: skip
IST = {1: 3, 2: 2, 8: 1, 18: 4}  # arch/x86/include/asm/page_64_types.h, plus one
EARLY = "early_idt_handler_array"  # arch/x86/kernel/head_64.S
FROM_PROGRAMS = {3, 4, 0x80}


def compare(truth, rows):
    """Returns the differences, a sentence each. The guest itself prints no IDT: what is checked
    is what the kernel's source says of it, and that handlers lie where kallsyms has their names."""
    differences = doubts(rows)
    if [row["vector"] for row in rows] != list(range(256)):
        return [*differences, "not one table of 256 vectors"]
    online = [str(cpu) for cpu in cpus(truth["files"]["/sys/devices/system/cpu/online"])]
    addresses = addresses_of(truth)
    # Without CONFIG_IA32_EMULATION no program may call by int $0x80.
    narrow = any(name in addresses for name in ("asm_int80_emulation", "entry_INT80_compat")) if addresses else True
    from_programs = FROM_PROGRAMS if narrow else FROM_PROGRAMS - {0x80}
    for row in rows:
        vector = row["vector"]
        where = f"vector {vector}"
        differ(differences, where, "name", NAMES.get(vector), row["name"])
        if "idt_table" in addresses:
            differ(differences, where, "table", addresses["idt_table"], {number(row["table"])})
        if row["cpus"] is not None:
            differ(differences, where, "cpus", online, row["cpus"])
        if row["type"] is None:
            if vector < 32:
                continue  # reserved ones, and those that this kernel does not handle
            differences.append(f"{where}: no gate")
            continue
        differ(differences, where, "type", "interrupt", row["type"])
        differ(differences, where, "expected", True, row["expected"])
        differ(differences, where, "module", None, row["module"])
        differ(differences, where, "selector", 0x10, number(row["selector"]))
        differ(differences, where, "dpl", 3 if vector in from_programs else 0, row["dpl"])
        # Cloud kernels have no machine checks: that vector stays as it was at boot.
        built_in = vector != 18 or not addresses or HANDLERS[vector] in addresses
        if vector != 29:  # #VC has one where SEV-ES is built in
            differ(differences, where, "ist", IST.get(vector, 0) if built_in else 0, row["ist"])
        if vector in HANDLERS and built_in:
            differ(differences, where, "symbol", HANDLERS[vector], row["symbol"])
        elif vector in HANDLERS:
            differ(differences, where, "symbol", EARLY, (row["symbol"] or "").partition("+")[0])
        name, _, offset = (row["symbol"] or "").partition("+")
        if addresses and number(row["handler"]) - int(offset or "0", 16) not in addresses.get(name, ()):
            differences.append(f"{where}: {row['handler']} is not {row['symbol']}")
    return differences


def addresses_of(truth):
    """Name to its addresses, of the kernel's own symbols."""
    found = {}
    for line in truth.get("kallsyms", "").splitlines():
        address, _, name = line.split(" ", 2)
        found.setdefault(name, set()).add(int(address, 16))
    return found
