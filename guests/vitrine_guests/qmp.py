"""QMP, one command at a time: connect, ask, leave. QEMU serves one client per socket."""

import json
import socket
from pathlib import Path

from .errors import GuestError


def command(path: Path | str, name: str, timeout: float = 60.0, **arguments: object) -> object:
    """Runs one QMP command and returns its `return` value.

    Raises GuestError when QEMU refuses the command, is gone, or another client holds the socket for
    `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            with connection.makefile("rw", encoding="utf-8") as stream:
                _answer(stream)  # the greeting
                _ask(stream, "qmp_capabilities", {})
                return _ask(stream, name, arguments)
        except TimeoutError:
            raise GuestError(f"QMP at {path} did not answer within {timeout:.0f} s; is another client on it?")
        except OSError as error:
            raise GuestError(f"QMP at {path}: {error}") from error


def _ask(stream, name: str, arguments: dict[str, object]) -> object:
    request = {"execute": name.replace("_", "-") if name != "qmp_capabilities" else name}
    if arguments:
        request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    while True:
        answer = _answer(stream)
        if "error" in answer:
            raise GuestError(f"QMP {name}: {answer['error'].get('desc', answer['error'])}")
        if "return" in answer:
            return answer["return"]  # events in between are not ours


def _answer(stream) -> dict:
    line = stream.readline()
    if not line:
        raise GuestError("QEMU closed the QMP connection")
    return json.loads(line)
