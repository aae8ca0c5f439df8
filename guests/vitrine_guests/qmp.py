"""QMP: a conversation with one of QEMU's monitors. QEMU serves one client per socket."""

import json
import socket
from pathlib import Path

from .errors import GuestError


class Conversation:
    """Holds the socket until it is closed. `with Conversation(path) as monitor: monitor.ask("query-status")`"""

    def __init__(self, path: Path | str, timeout: float = 60.0):
        self._path, self._timeout = path, timeout
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
            self._stream = self._socket.makefile("rw", encoding="utf-8")
            self._answer()  # the greeting
            self.ask("qmp_capabilities")
        except (OSError, GuestError) as error:
            self._socket.close()
            raise error if isinstance(error, GuestError) else self._trouble(error) from error

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, name: str, /, **arguments: object) -> object:
        """Runs a command and returns its `return` value; an argument's `_` is QMP's `-`.

        Raises GuestError when QEMU refuses the command, is gone, or does not answer in time.
        """
        words = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            self._stream.write(json.dumps({"execute": name, "arguments": words}) + "\n")
            self._stream.flush()
            while True:
                answer = self._answer()
                if "error" in answer:
                    raise GuestError(f"QMP {name}: {answer['error'].get('desc', answer['error'])}")
                if "return" in answer:
                    return answer["return"]  # events in between are not ours
        except OSError as error:
            raise self._trouble(error) from error

    def _answer(self) -> dict:
        line = self._stream.readline()
        if not line:
            raise GuestError("QEMU closed the QMP connection")
        return json.loads(line)

    def _trouble(self, error: OSError) -> GuestError:
        if isinstance(error, TimeoutError):
            return GuestError(f"QMP at {self._path} did not answer within {self._timeout:.0f} s; is another client on it?")
        return GuestError(f"QMP at {self._path}: {error}")


def command(path: Path | str, name: str, /, timeout: float = 60.0, **arguments: object) -> object:
    """Connects, runs one command, leaves. As Conversation.ask()."""
    with Conversation(path, timeout) as monitor:
        return monitor.ask(name, **arguments)


def human(path: Path | str, line: str) -> str:
    """What the human monitor says to that line."""
    return command(path, "human-monitor-command", command_line=line)
