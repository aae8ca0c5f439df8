"""The reference, row by row, on a guest that runs: what a script prints must be what the guest says of itself.

Used by language_test.py. A case is a script, what the guest does once the script is ready, and what must come of it:
a pattern, or a function of the output and the guest. Nothing waits for a time: a script says "ready", the guest acts,
and Ctrl-C ends the script.
"""

import re
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Case:
    name: str
    script: str
    expect: object  # a pattern, or a function (output, guest, folder) that returns what is wrong, or nothing
    act: str = ""
    words: list = field(default_factory=list)
    ends: bool = True  # by itself; else by Ctrl-C once the guest has acted


def start(body):
    return "Start {\n" + body + "\nStop()\n}\n"


def lines(*wanted):
    """The output's lines, whole."""

    def check(out, _guest, _folder):
        got = out.splitlines()
        return None if got == list(wanted) else f"printed {got}, and should print {list(wanted)}"

    return check


def ask(guest, command):
    return guest.run(command)[1].decode("latin-1").strip()


# ---- against the guest's own account

def jiffies(out, guest, _):
    now = int(ask(guest, "grep -m1 jiffies: /proc/timer_list | cut -d' ' -f2"))
    return None if now - 250 * 120 <= int(out) <= now else f"{out} jiffies, and the guest has {now}"


def banner(out, guest, _):
    version = ask(guest, "cat /proc/version")
    wanted = [version + "\\x0a", version[:5].encode().hex(), str(len(version) + 1), str(int.from_bytes(version[:4].encode(), "little"))]
    return None if out.splitlines() == wanted else f"{out!r}, and should be {wanted}"


def same_table(command):
    """Rows "a b c" of the script are those of a command in the guest, whatever comes and goes within a look."""

    def check(out, guest, _):
        ours = set(out.splitlines())
        theirs = set(ask(guest, command).splitlines())
        # The command's own processes are there for it alone.
        # Of plain names only: the kernel writes others, and long ones of its threads, in ways of its own (truth_processes.py has them).
        plain = re.compile(r"[\d ]*[\w./:-]{1,14}( \d+)?", re.ASCII)
        passing = re.compile(r" (sh|cat|ps|sed|cut|tr|sort|grep|awk|kworker\S*|init)$")
        odd = {row for row in ours ^ theirs if plain.fullmatch(row) and not passing.search(row)}
        return f"only on one side: {sorted(odd)[:6]}" if odd or not ours else None

    return check


def outputs(out, guest, folder):
    wrong = []
    for name, pattern in (("cr3.txt", r" mkdir\[\d+\] CR3=0x[0-9a-f]{5,}$"), ("banner.txt", r"4c ?69 ?6e ?75 ?78|Linux"), ("stack.txt", r"[0-9a-f]{16}|\?"), ("list.txt", r"\b1\b.*\binit\b")):
        path = Path(folder, name)
        text = path.read_text(errors="replace") if path.exists() else None
        if text is None or not re.search(pattern, text, re.M):
            wrong.append(f"{name}: {text and text[:80]!r}")
    return "; ".join(wrong) or None


def overflowuid(out, guest, _):
    got = ask(guest, "cat /proc/sys/kernel/overflowuid")
    guest.run("echo 65534 > /proc/sys/kernel/overflowuid")
    return None if got == "65501" else f"the guest reads {got}"


def captured(_out, _guest, folder):
    path = Path(folder, "row.pcapng")
    data = path.read_bytes() if path.exists() else b""
    # A section header, and an ARP request for 10.0.2.2 of our card.
    asked = bytes.fromhex("08060001080006040001525400766974")
    return None if data[:4] == b"\x0a\x0d\x0d\x0a" and asked in data else f"{len(data)} bytes: {data[:32].hex()}"


CASES = [
    # Values
    Case("numbers", start(r'Print("%d %d %d %d %d %d\n", 42, 1_000_000, 0x2a, 0b101, 0o17, (97 == \'a\') ? 1 : 0)'.replace("\\'", "'")), lines("42 1000000 42 5 15 1")),
    Case("durations", start(r'Print("%s %s %s %d\n", 1500us, 1min, 2h, 90s / 1ms)'), lines("1.5ms 1m00s 2h00m 90000")),
    Case("text", start(r'let t = "a" "b\tc\x41\u{e9}" Print("%s|%d\n", t, len(t))'), lines("ab\\x09cAé|7")),
    Case("wraps and compares", start(r"""let big = u64(init_task) | 0xffffffffffffffff
let minus = -1
Print("%d %d %d %d\n", big + 2, minus < big, minus / 2, (flags_of(6) & 2 == 2) ? 1 : 0)
""") + "fn flags_of(x) = x\n", lines("1 1 0 1")),
    Case("shifts", start(r"""let n = 65 let s = -8
Print("%d %d %d\n", 1 << n, s >> n, s >> 1)"""), lines("0 -1 -4")),
    Case("missing", start(r"""let m = u64(8)
Print("%d %s %d\n", m, m + 1, missing(m))
if (m) { Print("true\n") }
if (!m) { Print("not\n") }
if (m == 0) { Print("zero\n") }
if (missing(m) || m > 1) { Print("or\n") }
Print("%d\n", 10 / (m - m + 0))
@never = m"""), lambda out, _g, _f: None if out.splitlines()[:3] == ["? ? 1", "or", "?"] else f"printed {out!r}"),
    Case("text functions", start(r"""let t = "/usr/Bin/Cat"
Print("%d %d %d %d %d ", len(t), matches(t, "/usr/*/C?t"), contains(t, "Bin"), starts_with(t, "/usr"), ends_with(t, "cat"))
Print("%s %s %d\n", lower(t), basename(t), abs(3 - 10))"""), lines("12 1 1 1 0 /usr/bin/cat Cat 7")),
    Case("print", start(r"""Print("%5d|%-5d|%05d|%+d|%x|%#x|%X|%o|%b|%c|%p|%%|%.2s|%8s|\n", 42, 42, 42, 42, 255, 255, 255, 8, 5, 'a', init_task, "abc", "abc")"""),
         r"^   42\|42   \|00042\|\+42\|ff\|0xff\|FF\|10\|101\|a\|(0x)?ffffffff[0-9a-f]{8}\|%\|ab\|     abc\|$"),
    # Statements
    Case("control", start(r"""for (i in 0..10) {
    if (i == 1) continue
    if (i == 4) break
    Print("%d ", i)
}
for (i in 5..5) { Print("never") } // vitrine: allow(empty-range)
let x = 1
x += 4 x *= 3 x -= 1 x /= 2 x %= 4 x <<= 3 x |= 1 x ^= 3 x &= 30 x++ x--
Print("%d %d\n", x, twice(twice(x)))
if (x > 100) { Print("a\n") } else if (large(x)) { Print("b\n") } else { Print("c\n") }""") + """
const limit = 1 << 3
fn twice(x) = 2 * x
fn large(x) {
    if (x > limit) { return true }
    return false
}
""", lines("0 2 3 26 104", "b")),
    Case("return ends the firing", 'Start { Print("one\\n") if (cpu_count() > 0) { return } Print("two\\n") }\nStart { Print("three\\n") Stop() }\nfn cpu_count() = len("x")\n', lines("one", "three")),
    # Maps
    Case("maps", start(r"""for (i in 0..10) {
    @count[i % 2] = count()
    @sum = sum(i)
    @min = min(i + 3)
    @max = max(i)
    @avg = avg(i)
    @two[i / 5, "k"] += i
    @gone[i] = i
}
delete(@gone[3])
Print("%d %d %d %d %d %d %d\n", @count[0], @sum, @min, @max, @avg, len(@gone), @two[1, "k"])
clear(@gone)
Print("%d %d\n", len(@gone), missing(@gone[1]))
@x++ @x++
Print("%d\n", @x)"""), r"\A5 45 3 9 4 9 35\n0 1\n2\n"),
    Case("distributions", start(r"""for (i in 0..100) {
    @h = histogram(i)
    @l = linear(i, 0, 100, 50)
    @s = stats(i)
}"""), lambda out, _g, _f: next((f"no {wanted} in {out!r}" for wanted in ("@h", r"64.*\b36\b", r"\b32\b.*\b32\b", "@l", r"\b50\b.*\b50\b", r"100.*0.*99.*49")
                                if not re.search(wanted, out)), None)),
    Case("the greatest", start('for (i in 0..30) { @g[i] = i * i }\nprint(@g, 2)\nclear(@g)'), r"29.*841(.|\n)*28.*784"),
    # Memory and types
    Case("jiffies", start(r'Print("%d\n", u64(jiffies))'), jiffies),
    Case("memory", start(r"""let b = string(linux_banner, 4096)
Print("%s\n", string(linux_banner, 600))
Print("%s\n", hex(bytes(linux_banner, 5)))
Print("%d\n", len(b))
Print("%d\n", phys.u32(linux_banner - 0xffffffff80000000 + u64(phys_base)))"""), banner),
    Case("widths", start(r"""let a = init_task
Print("%d %d %d ", u8(a) == (u64(a) & 0xff), u16(a) == (u64(a) & 0xffff), u32(a) == (u64(a) & 0xffffffff))
Print("%d %d %d\n", (s8)0xff, (u8)0x1ff, (s32)0xffffffff)"""), lines("1 1 1 -1 255 -1")),
    Case("symbols", start(r'Print("%s %s %d\n", symbol(init_task), symbol(init_task + 16), &init_task == init_task)'), lines("init_task init_task+0x10 1")),
    Case("types", start(r"""let t = (struct task_struct *)init_task
Print("%s %d %d ", t->comm, t->pid, t->tasks.next != 0)
Print("%d %d ", sizeof(struct list_head), offsetof(struct list_head, prev))
Print("%d %d ", ((struct rq *)per_cpu(runqueues, 0))->cpu, ((struct rq *)per_cpu(runqueues, 1))->cpu)
Print("%d %d\n", PIDTYPE_MAX > 0, &t->pid == (u64)t + offsetof(struct task_struct, pid))"""), lines("swapper/0 0 1 16 8 0 1 1 1")),
    Case("listed", start(r'Print("%d %d\n", listed(1), listed(99999))'), lines("1 0")),
    # Views
    Case("processes", start(r'for (p in processes) Print("%d %d %d %s\n", p.pid, p.ppid, p.uid, p.name)'),
         same_table("for d in /proc/[0-9]*; do sed -n 's/^Name:\\t//p;s/^Pid:\\t//p;s/^PPid:\\t//p;s/^Uid:\\t\\([0-9]*\\).*/\\1/p' $d/status | tr '\\n' '\\t'; echo; done | awk -F'\\t' 'NF>4{print $2\" \"$3\" \"$4\" \"$1}'")),
    Case("modules", start(r'for (m in modules) Print("%s %d\n", m.name, m.size)'), same_table("cut -d' ' -f1,2 /proc/modules")),
    Case("kernel", start(r'for (k in kernel) Print("%s\n", k.release)'), lambda out, guest, _: None if out.strip() == ask(guest, "uname -r") else out),
    # Events
    Case("system calls", 'Start { Print("ready\\n") }\nSyscall(openat), Syscall(open) when (string(arg1) == "/nowhere/row") { Print("%s %s %s %d\\n", process.name, syscall.name, string(arg1), syscall.number) }\n'
         'SyscallReturn("open*") when (ret == -20 || ret == -2) { @failed[process.name, syscall.name] = count() }\n',
         r"cat openat /nowhere/row 257\n(.|\n)*@failed(.|\n)*cat.*openat.*[1-9]", "cat /nowhere/row", ends=False),
    Case("a system call by its number", 'Start { Print("ready\\n") }\nSyscall(83) { Print("%s %s\\n", syscall.name, string(arg0)) }\nSyscallReturn(84) { Print("%s %d\\n", syscall.name, ret) }\n',
         r"mkdir /tmp/row\n(.|\n)*rmdir 0", "mkdir /tmp/row; rmdir /tmp/row", ends=False),
    Case("the moment", 'Start { Print("ready\\n") }\nProcessExec when (process.name == "sleep") {\n'
         'Print("%s|%s|%s|%d %d %d %d|%s|%d|%d|\\n", process.name, process.path, process.cmdline, process.uid, process.gid, process.pid == process.tgid, thread.tid == process.pid, process.cgroup, process.kernel_thread, process.ppid > 0)\n'
         'Print("%s %d\\n", process.task->comm, process.task->pid == process.pid)\n}\n',
         r"sleep\|/bin/busybox\|/bin/sleep 0.01\|0 0 1 1\|/\S*\|0\|1\|\nsleep 1\n", "/bin/sleep 0.01", ends=False),
    Case("process life", 'Start { Print("ready\\n") }\nProcessStart { @started = count() }\nProcessExit when (process.name == "sh") { Print("%s ends %d\\n", process.name, event.code) }\n',
         r"sh ends (7|1792)\n(.|\n)*@started: *[1-9]", "sh -c 'exit 7'", ends=False),
    Case("memory accesses", 'Start { Print("ready\\n") }\nWriteAt(overflowuid, 4) { Print("write %d %d %d %s\\n", event.old, event.value, event.size, process.name) }\nReadAt(overflowuid, 4) { Print("read %d %s\\n", event.value, symbol(event.address)) }\nAccessAt(overflowuid, 4) { @access[event.is_write] = count() }\n',
         r"write 65534 65533 4 sh\n(.|\n)*read 65533 overflowuid\n(.|\n)*write 65533 65534 4 sh(.|\n)*@access", "echo 65533 > /proc/sys/kernel/overflowuid; cat /proc/sys/kernel/overflowuid; echo 65534 > /proc/sys/kernel/overflowuid", ends=False),
    Case("functions", 'Start { Print("ready\\n") }\nExecuteAt(do_mkdirat) { Print("in %s %d\\n", event.symbol, cpu >= 0) }\nReturn(do_mkdirat) { Print("out %d\\n", ret) }\nExecuteAt("do_rmdi?") { Print("glob %s\\n", event.symbol) }\n',
         r"in do_mkdirat 1\nout 0\n(.|\n)*glob do_rmdir", "mkdir /tmp/row2; rmdir /tmp/row2", ends=False),
    Case("filters and registers", 'Start { Print("ready\\n") }\nSyscall {\nRegisterHasValue(RAX, 0x53) {\nReadRegister(RDI, #number)\n}\nRegisterHasValue(EAX, 84) { Print("84 %d\\n", reg.rax) }\nValueAtAddressIs(linux_banner, 0x76207875) { Print("never\\n") }\n}\n',
         r"#number.*0x[0-9a-f]+(.|\n)*84 84", "mkdir /tmp/row3; rmdir /tmp/row3", ends=False),
    Case("control registers and interrupts", 'Start { Print("ready\\n") }\nCRWrite(3) { @cr3 = count() }\nInterrupt { @interrupts[event.vector > 31] = count() }\nException(14) { @faults = count() }\nSample(50) { @samples[cpu] = count() }\n',
         r"@cr3: *[1-9](.|\n)*@interrupts(.|\n)*@faults: *[1-9](.|\n)*@samples", "for i in 1 2 3 4 5; do cat /proc/version; done", ends=False),
    Case("ports", 'Start { Print("ready\\n") }\nPortWrite(0x70) { @w[event.size] = count() }\nPortRead(0x71) { @r[event.size] = count() }\n', r"@w:\n +1 +[1-9](.|\n)*@r:\n +1 +[1-9]",
         "cat /proc/driver/rtc; hwclock -r; cat /proc/driver/rtc", ends=False),
    Case("every, request", 'Start { Print("ready\\n") }\nEvery(50ms) { @ticks = count() }\nStop { Print("over %d\\n", @ticks > 1) }\n', r"ready\n(.|\n)*over 1\n", "sleep 0.5", ends=False),
    # Outputs
    Case("data probes", 'Start { Print("ready\\n") }\nSyscall(mkdir) {\nReadRegister(CR3, cr3.txt)\nReadMemory(linux_banner, 16, banner.txt)\nReadMemoryAt(RSP, 16, 0, stack.txt)\nProcessList(PID, NAME, list.txt)\n}\n',
         outputs, "mkdir /tmp/row4; rmdir /tmp/row4", ends=False),
    Case("network", 'Start { Print("ready\\n") }\nCaptureNetwork(*, "row.pcapng")\nCaptureKeyboardInput(#keys)\n', captured,
         "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ping -c 2 -W 1 10.0.2.2", ends=False),
    # Actions
    Case("writes", start('WriteMemory(overflowuid, (u32)65501)'), overflowuid, words=["--allow-writes"]),
    Case("symptom", 'Start { Print("ready\\n") }\nSymptom row {\n severity: high\n technique: "T1014"\n text: "a row"\n Syscall(mkdir) { Report("%s by %s", string(arg0), process.name) }\n}\n',
         r"row.*/tmp/row5 by mkdir|/tmp/row5 by mkdir", "mkdir /tmp/row5; rmdir /tmp/row5", ends=False),
]


def run_case(vitrine, vm, guest, case, folder):
    script = Path(folder, "row.vmi")
    script.write_text(case.script)
    words = [vitrine.program, "run", str(script), vm, "--allow", "all", *case.words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=vitrine.environment, cwd=folder) as process:
        try:
            out = b""
            if not case.ends:
                until = time.monotonic() + 60
                while b"ready" not in out and time.monotonic() < until and select.select([process.stdout], [], [], 1) is not None and process.poll() is None:
                    if select.select([process.stdout], [], [], 0)[0]:
                        out += process.stdout.read1(65536)
                if process.poll() is None:
                    guest.run(case.act)
                    time.sleep(0.2)
                    process.send_signal(signal.SIGINT)
            more, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            return "did not end", ""
    out, err = (out + more).decode(errors="replace"), err.decode(errors="replace")
    if process.returncode not in (0, 3):
        return f"status {process.returncode}: {err[-600:]}", out
    if not case.ends:
        out = out.split("ready\n", 1)[-1] if "every" not in case.name else out
    if callable(case.expect):
        wrong = case.expect(out, guest, folder)
    else:
        wrong = None if re.search(case.expect, out, re.M) else f"does not print {case.expect!r}"
    return (wrong and f"{wrong}\n{out[:1500]}{err[-600:]}"), out


def rows(vitrine, vm, guest, fail, only=None):
    good = 0
    for case in CASES:
        if only and case.name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong, _ = run_case(vitrine, vm, guest, case, folder)
        if wrong:
            fail(f"{case.name}: {wrong}")
        else:
            good += 1
    print(f"rows: {good} of {len(CASES)} scripts print what the reference and the guest say", flush=True)
