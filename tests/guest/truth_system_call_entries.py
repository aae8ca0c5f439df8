"""The view `system_call_entries` against the guest's own symbols: each CPU, each register."""

import re

ENTRIES = {"LSTAR": "entry_SYSCALL_64", "CSTAR": "entry_SYSCALL_compat", "SYSENTER_EIP": "entry_SYSENTER_compat"}


def compare(truth, rows):
    """Returns the differences, a sentence each. Exact; Debian's kernels serve 32-bit programs."""
    cpus = len(re.findall(r"^processor\s*:", truth["files"]["/proc/cpuinfo"], re.M))
    told = {(cpu, register, symbol, True) for cpu in range(cpus) for register, symbol in ENTRIES.items()}
    have = {(row["cpu"], row["register"], row["symbol"], row["expected"]) for row in rows}
    return [f"missing {one}" for one in sorted(told - have)] + [f"not the kernel's {one}" for one in sorted(have - told)]
