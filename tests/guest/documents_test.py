#!/usr/bin/env python3
"""What the README and the tutorial tell a reader to type does what they say.

    documents_test.py --vitrine build/bin/vitrine [--kernel 6.1]

Each line of a console block runs in a shell, on a guest of the name that it speaks of. It must end
well, print something, and complain of nothing; where a document shows a diagnostic, that is what
comes, letter for letter. Lines that start machines, and those of a host that is guarded
(./dev demo guard and guest.guard.* show these), are left out and named.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE), str(REPOSITORY / "guests")]

from images import write_lime  # noqa: E402
from vitrine_guests import LABELS, Guest  # noqa: E402

DOCUMENTS = ("README.md", "docs/tutorial.md", "docs/one-liners.md")
ELSEWHERE = re.compile(r"qemu-system-|\./dev |guests/guest |vitrine (fvm|evidence) ")
# A query of what is wrong finds nothing where nothing is.
MAY_FIND_NOTHING = ("select(.expected == false)", 'select(.state == "ESTABLISHED")')


def commands(document):
    """(line number, command, what is shown below it) of each console block."""
    found, inside = [], False
    for number, line in enumerate((REPOSITORY / document).read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = line.startswith("```console")
        elif inside and line.startswith("$ "):
            found.append((number, re.sub(r"\s+#.*$", "", line[2:]), []))
        elif inside and found:
            found[-1][2].append(line)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default="build/bin/vitrine", type=Path)
    parser.add_argument("--kernel", default="6.1", choices=LABELS)
    words = parser.parse_args()
    agent = words.vitrine.resolve().with_name("vitrine-agent.so")
    wrong, ran = [], 0
    with tempfile.TemporaryDirectory(prefix="vitrine-documents-") as folder:
        environment = {**os.environ, "PATH": f"{words.vitrine.resolve().parent}:/usr/bin:/bin", "XDG_CACHE_HOME": folder, "COLUMNS": "80"}
        os.symlink(REPOSITORY / "examples", f"{folder}/examples")
        with Guest(words.kernel, cpus=2, extra=f"-plugin {agent},dir={folder}") as guest:
            shell = lambda text: subprocess.run(["bash", "-c", f"set -o pipefail; {text}"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                                capture_output=True, text=True, timeout=120)  # fmt: skip
            listener = next(pid for pid, process in guest.truth()["processes"].items() if process.get("comm") == "tcp-listen\n")
            guest.dump(f"{folder}/memory.elf")
            write_lime(Path(folder) / "memory.elf", Path(folder) / "memory.lime")
            guest.run("while :; do sleep 0.1; /bin/true; done >/dev/null 2>&1 &")
            for document in DOCUMENTS:
                for number, told, shown in commands(document):
                    place = f"{document}:{number}: {told}"
                    if ELSEWHERE.match(told):
                        print(f"  elsewhere: {place}")
                        continue
                    text = re.sub(r"\bweb1\b|\bvm$", guest.name, told).replace("--pid 412", f"--pid {listener}")
                    if re.match(r"vitrine run -e 'Process", text):
                        # A reader ends it by Ctrl-C when it has shown something; how soon that is, is the machine's load.
                        text = f"timeout --preserve-status -s INT 60 {text} | head -n 3"
                    if text.startswith("vitrine repl "):
                        text = f"echo '1 + 1' | {text}"
                    done = shell(text)
                    ran += 1
                    said = (done.stdout + done.stderr).strip()
                    if " check " in told:
                        if said != "\n".join(shown).strip() or done.returncode != 1:
                            wrong.append(f"{place}: status {done.returncode}, not what is shown:\n{said}")
                        continue
                    if done.returncode != 0:
                        wrong.append(f"{place}: status {done.returncode}: {said[:400]}")
                    elif not done.stdout.strip() and not any(query in told for query in MAY_FIND_NOTHING):
                        wrong.append(f"{place}: prints nothing; {said[:400]}")
    print("\n".join(wrong))
    print(f"{ran} commands of {len(DOCUMENTS)} documents ran, {len(wrong)} not as they should")
    return 1 if wrong or ran < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
