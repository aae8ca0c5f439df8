"""Talks to the guest's truth printer; the protocol stands in guests/truth/channel.h."""

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from .errors import GuestError


class Printer:
    """The host's end: requests go to the serial port, answers come by the virtio port where there is one.

    Connects for each request and leaves again, so that a shell and a test can take turns.
    """

    def __init__(self, serial: Path, port: Path | None):
        self.serial = serial
        self.port = port

    def ask(self, request: str, timeout: float = 120.0) -> tuple[int, bytes]:
        """(status, bytes) of the answer. Raises GuestError when none is complete in `timeout` seconds."""
        way = "port" if self.port else "serial"
        line = f"{way} {request}".replace("\n", "\x1e").encode()
        identity = f"{os.getpid():x}.{time.monotonic_ns():x}.{len(line)}"
        with contextlib.ExitStack() as stack:
            serial = stack.enter_context(_connect(self.serial))
            source = stack.enter_context(_connect(self.port)) if self.port else serial
            # The first line end closes what a host that was killed may have left half sent.
            serial.sendall(b"\n" + identity.encode() + b" " + line + b"\n")
            return _Frames(source, identity, time.monotonic() + timeout, request).read()


class _Frames:
    """Reads the frames of one answer and skips what an earlier, abandoned one left in the pipe."""

    def __init__(self, source: socket.socket, identity: str, deadline: float, request: str):
        self.source = source
        self.identity = identity.encode()
        self.deadline = deadline
        self.request = request
        self.buffer = bytearray()

    def read(self) -> tuple[int, bytes]:
        parts: list[bytes] = []
        while True:
            # In the rest of an abandoned answer a head may follow bytes without a line end.
            head = self._line().rpartition(b"VITRINE ")[2].split()
            if len(head) == 3 and head[:2] == [self.identity, b"end"]:
                return int(head[2]), b"".join(parts)
            if len(head) == 2 and head[0] == self.identity:
                parts.append(self._exactly(int(head[1])))

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\n")) < 0:
            self._more()
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        part = bytes(self.buffer[:size])
        del self.buffer[:size]
        return part

    def _more(self) -> None:
        wait = self.deadline - time.monotonic()
        if wait <= 0 or not select.select([self.source], [], [], wait)[0]:
            raise GuestError(f"the guest did not answer {self.request.split(' ')[0]!r} in time")
        data = self.source.recv(1 << 20)
        if not data:
            raise GuestError(f"QEMU ended before it answered {self.request.split(' ')[0]!r}")
        self.buffer += data


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise GuestError(f"no guest listens at {path}: {error}") from error
    return connection
