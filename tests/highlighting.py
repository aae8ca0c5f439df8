#!/usr/bin/env python3
"""The highlighting of editors, run over every script there is, against a reading of its own.

Vim's, where there is a Vim that has syntax: its own account of each character (synID).

A small TextMate tokenizer (match, begin/end, nested patterns: all that our grammar uses) colours each example, each
one-liner and each well-formed golden case. Comments, strings, numbers, maps and channels must get the colour that a
lexer written here gives them, and nothing but names and brackets may be left without one.

With VS Code's own engine, by hand (npm install vscode-textmate vscode-oniguruma, in a folder of its own):

    VITRINE_TEXTMATE=FOLDER/node_modules tests/highlighting.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = json.loads((ROOT / "editors/vscode/syntaxes/vmi.tmLanguage.json").read_text())

# What stands where, by the reference: tried in this order.
TRUTH = [
    ("comment", re.compile(r"\A#![^\n]*|//[^\n]*|/\*.*?\*/", re.S)),
    ("string", re.compile(r'"(?:\\.|[^"\\\n])*"')),
    ("character", re.compile(r"'(?:\\.[^'\n]*|[^'\\\n])'")),
    ("mac", re.compile(r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b")),
    ("map", re.compile(r"@\w*")),
    ("channel", re.compile(r"#\w[\w-]*")),
    ("path", re.compile(r"(?<=[ ,(])/\w[\w./-]*")),
    ("numeric", re.compile(r"\b(?:0[xX][0-9A-Fa-f_]+|0[bB][01_]+|0o[0-7_]+|\d[\d_]*(?:ns|us|ms|s|min|m|h|d)?)\b")),
    ("word", re.compile(r"\w+")),
    ("sign", re.compile(r"[-+*/%&|^~!<>=?.]+")),
]
COLOUR = {"comment": "comment.", "string": "string.", "character": "constant.character.", "mac": "constant.other.mac", "map": "variable.other.map",
          "channel": "entity.name.tag.channel", "numeric": "constant.numeric"}


def compiled(patterns):
    return [(p["name"], re.compile(p.get("match", p.get("begin")), re.M), re.compile(p["end"], re.M) if "end" in p else None, compiled(p.get("patterns", []))) for p in patterns]


def colours(text, patterns):
    """The name of the outermost scope of each character, or nothing."""
    out = [None] * len(text)
    at = 0
    while at < len(text):
        found = [(m.start(), i, m) for i, p in enumerate(patterns) if (m := p[1].search(text, at))]
        if not found:
            break
        begin, which, match = min(found, key=lambda f: f[:2])
        name, _, end, inner = patterns[which]
        stop = match.end()
        while end is not None:
            closing = end.search(text, stop)
            nested = [m for p in inner if (m := p[1].search(text, stop))]
            first = min(nested, key=lambda m: m.start(), default=None)
            if closing is None:
                stop = len(text)
                break
            if first is None or closing.start() <= first.start():
                stop = closing.end()
                break
            stop = first.end()
        out[begin:stop] = [name] * (stop - begin)
        at = max(stop, begin + 1)
    return out


def check(name, text, got):
    wrong = []
    at = 0
    while at < len(text):
        for kind, pattern in TRUTH:
            if match := pattern.match(text, at):
                break
        else:
            at += 1
            continue
        if kind in COLOUR and any(not (c or "").startswith(COLOUR[kind]) for c in got[at:match.end()]):
            wrong.append((kind, match.group(0)[:40], sorted({str(c) for c in got[at:match.end()]})))
        if kind == "sign" and match.group(0) != "." and any(c is None for c in got[at:match.end()]):
            wrong.append((kind, match.group(0), [None]))
        at = match.end()
    line = lambda word: text[: text.find(word)].count("\n") + 1  # noqa: E731
    return [f"{name}:{line(word)}: the {kind} {word!r} is coloured {got}" for kind, word, got in wrong]


def engine(scripts, modules):
    """What VS Code's engine makes of them: as colours()."""
    done = subprocess.run(["node", str(ROOT / "tests/textmate.cjs"), modules, str(ROOT / "editors/vscode/syntaxes/vmi.tmLanguage.json")],
                          input=json.dumps(scripts).encode(), stdout=subprocess.PIPE, check=True, timeout=300)
    out = {}
    for name, lines in json.loads(done.stdout).items():
        out[name] = []
        for line, runs in zip(scripts[name].split("\n"), lines, strict=True):
            # It counts in units of UTF-16, and a newline is of the comment or string that goes on behind it.
            units = [place for place, character in enumerate(line) for _ in range(1 + (ord(character) > 0xFFFF))]
            of_line = [None] * len(line)
            for (begin, scope), (end, _) in zip(runs, [*runs[1:], [len(units), None]], strict=True):
                for unit in range(begin, min(end, len(units))):
                    of_line[units[unit]] = scope
            out[name] += [*of_line, runs[-1][1] if runs and runs[-1][1] and "block" in runs[-1][1] else None]
    return out


def runaways(name, text, got):
    """Lines that begin within a string: one that somebody left open ends with its line."""
    wrong, at = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        if line and (got[at] or "").startswith("string.") and not line.startswith('"'):
            wrong.append(f"{name}:{number}: an unfinished string runs on into {line[:30]!r}")
        at += len(line) + 1
    return wrong


VIM = {"comment": {"vmiComment", "vmiTodo", "vmiAllow"}, "string": {"vmiString", "vmiEscape", "vmiFormat"}, "character": {"vmiNumber"}, "mac": {"vmiMac"},
       "map": {"vmiMap"}, "channel": {"vmiChannel"}, "numeric": {"vmiNumber"}}
DUMP = """
for script in readfile($SCRIPTS)
  execute "edit" script
  let lines = []
  for l in range(1, line("$"))
    call add(lines, join(map(range(1, len(getline(l))), 'synIDattr(synID(l, v:val, 0), "name")'), " "))
  endfor
  call writefile(lines, script . ".colours")
  bwipeout!
endfor
qall!
"""


def vim(scripts):
    """What Vim makes of them; nothing if there is no Vim with syntax."""
    program = shutil.which("vim")
    if program is None or b"+syntax" not in subprocess.run([program, "--version"], capture_output=True).stdout:
        print("SKIPPED Vim: there is none here that has syntax")
        return []
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{number}.vmi") for number, name in enumerate(scripts)}
        for name, path in paths.items():
            path.write_text(scripts[name])
        Path(folder, "dump.vim").write_text(DUMP)
        Path(folder, "scripts").write_text("".join(f"{path}\n" for path in paths.values()))
        subprocess.run([program, "-es", "-u", "NONE", "-i", "NONE", "--cmd", f"set nocompatible rtp^={ROOT}/editors/vim", "-c", "filetype plugin on", "-c", "syntax on",
                        "-S", f"{folder}/dump.vim"], env={**os.environ, "SCRIPTS": f"{folder}/scripts", "HOME": folder}, timeout=300, stdin=subprocess.DEVNULL)
        for name, path in paths.items():
            text = scripts[name].encode()
            got, column = [], iter(path.with_suffix(".vmi.colours").read_text().split("\n"))
            for line in text.split(b"\n"):
                of_line = next(column, "").split(" ")
                got += [*of_line, *[""] * (len(line) - len(of_line))][: len(line)] + [""]
            at = 0
            while at < len(text):
                match = kind = None
                for kind, pattern in TRUTH:
                    if match := re.compile(pattern.pattern.encode(), pattern.flags & re.S).match(text, at):
                        break
                if match is None:
                    at += 1
                    continue
                seen = {one for one, byte in zip(got[at : match.end()], match.group(0), strict=True) if byte not in b"\n"}
                if kind in VIM and not seen <= VIM[kind]:
                    wrong.append(f"{name}:{text[:at].count(10) + 1}: the {kind} {match.group(0)[:40]} is {seen} in Vim")
                at = match.end()
    return wrong


def main():
    scripts = {str(p.relative_to(ROOT)): p.read_text() for p in sorted(ROOT.glob("examples/*.vmi")) + sorted(ROOT.glob("tests/golden/vmipl/fmt/*.vmi"))
               + sorted(ROOT.glob("tests/golden/vmipl/program/*.vmi")) + sorted(ROOT.glob("rules/**/*.vmi"))}
    for document in ("docs/one-liners.md", "docs/language.md"):
        for number, block in enumerate(re.findall(r"```vmi\n(.*?)```", (ROOT / document).read_text(), re.S), 1):
            scripts[f"{document}#{number}"] = block
    patterns = compiled(GRAMMAR["patterns"])
    wrong = [w for name, text in scripts.items() for w in check(name, text, colours(text, patterns))]
    # With their mistakes: nothing but a comment goes on into the next line.
    broken = {str(p.relative_to(ROOT)): p.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
              for p in sorted(ROOT.glob("tests/golden/vmipl/check/*.vmi"))}
    wrong += [w for name, text in broken.items() for w in runaways(name, text, colours(text, patterns))]
    if modules := os.environ.get("VITRINE_TEXTMATE"):
        wrong += [w for name, got in engine(broken, modules).items() for w in runaways(f"VS Code: {name}", broken[name], got)]
        wrong += [f"VS Code: {w}" for name, got in engine(scripts, modules).items() for w in check(name, scripts[name], got)]
        print(f"VS Code's engine coloured {len(scripts) + len(broken)} scripts")
    wrong += vim(scripts)
    for each in wrong:
        print(each)
    print(f"{len(scripts)} scripts and {len(broken)} with mistakes, {len(wrong)} wrong")
    return 1 if wrong or len(scripts) < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
