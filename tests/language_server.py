#!/usr/bin/env python3
"""The language server, as an editor drives it: over its standard input and output.

    language_server.py build/bin/vitrine
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
URI = "file:///tmp/trace.vmi"
failures = []


def check(condition, what, *more):
    if not condition:
        failures.append(what)
        print("FAILED", what, *more, flush=True)


class Editor:
    """A client: it writes requests and reads whatever comes, each with a header."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen([program, "language-server", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.number = 0
        self.clock = threading.Timer(120, self.process.kill)
        self.clock.start()

    def raw(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def read(self):
        length = None
        while True:
            line = self.process.stdout.readline()
            if not line:
                return None
            if line == b"\r\n":
                break
            name, _, value = line.decode("ascii").partition(":")
            if name == "Content-Length":
                length = int(value)
        return json.loads(self.process.stdout.read(length))

    def ask(self, method, **params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        answer = self.read()
        check(answer and answer.get("id") == self.number, f"{method} is answered", answer)
        return answer or {}

    def tell(self, method, **params):
        self.send({"method": method, "params": params})

    def open(self, text):
        self.tell("textDocument/didOpen", textDocument={"uri": URI, "languageId": "vmi", "version": 1, "text": text})
        return self.published()

    def published(self):
        told = self.read()
        check(told and told["method"] == "textDocument/publishDiagnostics", "diagnostics are published", told)
        return told["params"]["diagnostics"]

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(60)
        self.clock.cancel()
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def at(line, character):
    return {"textDocument": {"uri": URI}, "position": {"line": line, "character": character}}


def applied(text, edits):
    """The text after edits of one line each, by units of UTF-16."""
    for edit in sorted(edits, key=lambda one: (one["range"]["start"]["line"], one["range"]["start"]["character"]), reverse=True):
        lines = text.split("\n")

        def place(position):
            units = lines[position["line"]].encode("utf-16-le")[: 2 * position["character"]] if position["line"] < len(lines) else b""
            return sum(len(line) + 1 for line in lines[: position["line"]]) + len(units.decode("utf-16-le"))

        text = text[: place(edit["range"]["start"])] + edit["newText"] + text[place(edit["range"]["end"]) :]
    return text


def session(program):
    """One as an editor has it."""
    editor = Editor(program, "--stdio")
    able = editor.ask("initialize", processId=None, rootUri=None, capabilities={})["result"]["capabilities"]
    check(able["hoverProvider"] and able["definitionProvider"] and able["documentFormattingProvider"], "it says what it can", able)
    editor.tell("initialized")
    text = '/* \N{GRINNING FACE} */ Syscal(openat) { @\n    = count() }\nStart { Print("%d\\n", comm) }\n'
    told = editor.open(text)
    check([one["code"] for one in told] == ["E050", "E053"], "both mistakes are told", told)
    check(told[0]["range"] == {"start": {"line": 0, "character": 9}, "end": {"line": 0, "character": 15}}, "their places are of UTF-16", told[0])
    # Its fixes mend it, all but what Start does not carry.
    end = {"line": 99, "character": 0}
    actions = editor.ask("textDocument/codeAction", textDocument={"uri": URI}, range={"start": {"line": 0, "character": 0}, "end": end}, context={"diagnostics": told})["result"]
    check([one["title"] for one in actions] == ["write Syscall", "write process.name"], "there is a fix for each", actions)
    mended = applied(text, [edit for one in actions for edit in one["edit"]["changes"][URI]])
    check("Syscall(openat)" in mended and "process.name" in mended, "the edits fit", mended)
    editor.tell("textDocument/didChange", textDocument={"uri": URI, "version": 2}, contentChanges=[{"text": mended}])
    check([one["code"] for one in editor.published()] == ["E076"], "what is changed is checked anew")

    text = 'const limit = 3\nfn kib(x) = x / 1024\nSyscall(openat)    { let size = kib(arg2) if (size > limit) { @big[process.name] = count() } }\nStop { print(@big) }\n'
    check(editor.open(text) == [], "a sound script is sound")
    for name, line, want in (("kib(arg2)", 2, (1, 3)), ("limit)", 2, (0, 6)), ("size >", 2, (2, 25)), ("@big)", 3, (2, 62))):
        place = editor.ask("textDocument/definition", **at(line, text.split("\n")[line].index(name) + 1))["result"]
        check(place and (place["range"]["start"]["line"], place["range"]["start"]["character"]) == want, f"{name} is declared at {want}", place)
    said = editor.ask("textDocument/hover", **at(2, 1))["result"]["contents"]["value"]
    check("Syscall([number, name or pattern])" in said, "a probe is explained", said)
    edits = editor.ask("textDocument/formatting", textDocument={"uri": URI}, options={"tabSize": 4, "insertSpaces": True})["result"]
    formatted = subprocess.run([program, "fmt", "-"], input=text.encode(), capture_output=True, check=True).stdout.decode()
    check(applied(text, edits) == formatted, "it formats as fmt does", edits)
    for prefix, word in (("Sysc", "Syscall"), ("Start { for (p in proc", "processes"), ("Start { for (p in processes) p.na", "p.name"), ("Configuration { Poll", "PollPeriod"), ("Syscall(opena", "openat"), ("ProcessExit { event.c", "event.code"), ("Start { hist", "histogram")):
        editor.open(prefix)
        words = [one["label"] for one in editor.ask("textDocument/completion", **at(0, len(prefix)))["result"]]
        check(word in words, f"{prefix} is completed", words[:20])
    editor.tell("textDocument/didClose", textDocument={"uri": URI})
    check(editor.published() == [], "what is closed has no mistakes")
    check("error" in editor.ask("textDocument/hover", **at(0, 0)), "what is closed is not asked about")
    check(editor.ask("shutdown")["result"] is None, "it shuts down")
    check(editor.ask("textDocument/hover", **at(0, 0))["error"]["code"] == -32600, "after that, nothing is answered")
    editor.tell("exit")
    check(editor.end() == 0, "it ends well")


def bad_input(program):
    """What is no message is told, and the next message is answered."""
    editor = Editor(program)
    for what, data in (
        ("no length", b"Length: 2\r\n\r\n"),
        ("a length that is none", b"Content-Length: many\r\n\r\n"),
        ("a length below zero", b"Content-Length: -5\r\n\r\n"),
        ("no JSON", b"Content-Length: 3\r\n\r\n{{{"),
        ("no UTF-8", b"Content-Length: 4\r\n\r\n\"\xff\xfe\""),
        ("nested deeply", b"Content-Length: 200000\r\n\r\n" + b"[" * 100000 + b"]" * 100000),
        ("no object", b"Content-Length: 2\r\n\r\n[]"),
        ("too short a length", b"Content-Length: 1\r\n\r\n{}"),
    ):
        editor.raw(data)
        answer = editor.read()
        check(answer and answer.get("id") is None and answer["error"]["code"] in (-32700, -32600), f"{what} is told", answer)
        check(editor.ask("hurry")["error"]["code"] == -32002, f"{what}: it goes on")
    editor.ask("initialize", capabilities={})
    check(editor.ask("textDocument/implementation")["error"]["code"] == -32601, "an unknown method is told")
    editor.tell("textDocument/nothing")  # and of an unknown notification nothing is said
    check(editor.ask("textDocument/hover", textDocument={"uri": URI})["error"]["code"] == -32602, "a document that is not open is told")
    told = editor.open("\0 \N{PILE OF POO} \u2028" * 1000)
    check(told, "any text is checked", told)
    begun = time.monotonic()
    told = editor.open("(" * 1000 + "x" * (1 << 20))
    check(told and time.monotonic() - begun < 60, "a large one, too")
    check(editor.end() == 1, "an editor that goes away without a word is a failure")
    # Half a message at the end.
    done = subprocess.run([program, "language-server"], input=b"Content-Length: 50\r\n\r\n{", capture_output=True, timeout=60)
    check((done.returncode, done.stdout, done.stderr) == (1, b"", b""), "half a message is none", done)


def example_scripts(program):
    """Of each example, each place: nothing is asked that ends it."""
    editor = Editor(program)
    editor.ask("initialize", capabilities={})
    for path in sorted((ROOT / "examples").glob("*.vmi"))[:6]:
        lines = path.read_text().split("\n")
        check(not any(one["severity"] == 1 for one in editor.open(path.read_text())), f"{path.name} has no mistakes")
        for line, text in enumerate(lines):
            for character in range(0, len(text), 7):
                for method in ("hover", "definition", "completion"):
                    check("result" in editor.ask(f"textDocument/{method}", **at(line, character)), f"{method} in {path.name}:{line}:{character}")
    editor.ask("shutdown")
    editor.tell("exit")
    check(editor.end() == 0, "it ends well after all of them")


def main():
    program = sys.argv[1]
    session(program)
    bad_input(program)
    example_scripts(program)
    print("FAILED: " + "; ".join(failures) if failures else "the language server answers as an editor wants it")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
