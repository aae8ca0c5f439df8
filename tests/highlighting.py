#!/usr/bin/env python3
"""The highlighting of VS Code, run over every script there is, against a reading of its own.

A small TextMate tokenizer (match, begin/end, nested patterns: all that our grammar uses) colours each example, each
one-liner and each well-formed golden case. Comments, strings, numbers, maps and channels must get the colour that a
lexer written here gives them, and nothing but names and brackets may be left without one.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = json.loads((ROOT / "editors/vscode/syntaxes/vmi.tmLanguage.json").read_text())

# What stands where, by the reference: tried in this order.
TRUTH = [
    ("comment", re.compile(r"//[^\n]*|/\*.*?\*/", re.S)),
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


def check(name, text, patterns):
    wrong = []
    got = colours(text, patterns)
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


def main():
    scripts = {str(p.relative_to(ROOT)): p.read_text() for p in sorted(ROOT.glob("examples/*.vmi")) + sorted(ROOT.glob("tests/golden/vmipl/fmt/*.vmi"))
               + sorted(ROOT.glob("tests/golden/vmipl/program/*.vmi")) + sorted(ROOT.glob("rules/**/*.vmi"))}
    for document in ("docs/one-liners.md", "docs/language.md"):
        for number, block in enumerate(re.findall(r"```vmi\n(.*?)```", (ROOT / document).read_text(), re.S), 1):
            scripts[f"{document}#{number}"] = block
    patterns = compiled(GRAMMAR["patterns"])
    wrong = [w for name, text in scripts.items() for w in check(name, text, patterns)]
    for each in wrong:
        print(each)
    print(f"{len(scripts)} scripts, {len(wrong)} wrong")
    return 1 if wrong or len(scripts) < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
