"""The view `system_call_entries` against the guest's own symbols: each CPU, each register."""

import re

ENTRIES = {"LSTAR": "entry_SYSCALL_64", "CSTAR": "entry_SYSCALL_compat", "SYSENTER_EIP": "entry_SYSENTER_compat"}


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact."""
    cpus = len(re.findall(r"^processor\s*:", truth["files"]["/proc/cpuinfo"], re.M))
    entries = ENTRIES
    if truth.get("kallsyms") and not re.search(r" entry_SYSCALL_compat$", truth["kallsyms"], re.M):  # no CONFIG_IA32_EMULATION
        ignores = re.search(r" (entry_SYSCALL32_ignore|ignore_sysret)$", truth["kallsyms"], re.M)[1]  # its name until 6.7
        entries = {"LSTAR": "entry_SYSCALL_64", "CSTAR": ignores, "SYSENTER_EIP": None}
    release = tuple(map(int, truth["files"]["/proc/sys/kernel/osrelease"].split(".")[:2]))
    # Of Intel's processors none uses it: 6.1 leaves it alone, 5.10 does not (wrmsrl_cstar() in arch/x86/kernel/cpu/common.c).
    if "GenuineIntel" in truth["files"]["/proc/cpuinfo"] and release >= (6, 1):
        entries = entries | {"CSTAR": None}
    told = {(cpu, register, symbol, True) for cpu in range(cpus) for register, symbol in entries.items()}
    have = {(row["cpu"], row["register"], row["symbol"], row["expected"]) for row in rows}
    return [f"missing {one}" for one in sorted(told - have, key=str)] + [f"not the kernel's {one}" for one in sorted(have - told, key=str)]
