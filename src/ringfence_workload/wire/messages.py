"""JSON messages with descriptors over a unix socket: the control connection between a workload and its keeper.

A frame is a 4-byte big-endian length, a count of descriptors, and a JSON object. Nothing is ever unpickled.
Whatever the peer sends is taken for hostile until it is checked: length, count, shape.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGE = 16 * 1024 * 1024
MAX_DESCRIPTORS = 16
_HEADER = struct.Struct("!IB")
_ROOM = socket.CMSG_LEN(MAX_DESCRIPTORS * array("i").itemsize)


class PeerGoneError(ConnectionError):
    """The other side of the fence closed the connection."""


class PeerMisbehavedError(ValueError):
    """The other side of the fence sent what the protocol does not allow."""


@dataclass(frozen=True)
class Message:
    """One frame: a JSON object and the descriptors that came with it (owned by the receiver)."""

    body: dict[str, Any]
    descriptors: tuple[int, ...] = field(default=())

    def close(self) -> None:
        """Close every descriptor of the message."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Connection:
    """One end of a control connection. Not safe for use by two threads at once."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Connection:
        """Wrap an inherited unix stream socket."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, body: dict[str, Any], descriptors: Sequence[int] = (), timeout: float | None = None) -> None:
        """Send one message; the caller keeps (and closes) its own copies of `descriptors`.

        Raises:
            TimeoutError: the peer did not take the whole of it within `timeout` seconds.
            PeerGoneError: the peer has closed its end.
            ValueError: the message is over MAX_MESSAGE bytes or carries too many descriptors.
        """
        payload = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        if len(payload) > MAX_MESSAGE or len(descriptors) > MAX_DESCRIPTORS:
            raise ValueError(f"a message of {len(payload)} bytes and {len(descriptors)} descriptors is too large")
        frame = memoryview(_HEADER.pack(len(payload), len(descriptors)) + payload)
        try:
            self._socket.settimeout(timeout)
            sent = socket.send_fds(self._socket, [frame], list(descriptors)) if descriptors else 0
            self._socket.sendall(frame[sent:])
        except TimeoutError:
            raise
        except OSError as error:
            raise PeerGoneError("the other side of the fence is gone") from error

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting at most `timeout` seconds for the whole of it.

        Raises:
            TimeoutError: nothing whole came in time.
            PeerGoneError: the peer has closed its end.
            PeerMisbehavedError: the frame is too large, not a JSON object, or its descriptors don't add up.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        descriptors: list[int] = []
        try:
            header = self._read(_HEADER.size, deadline, descriptors)
            length, count = _HEADER.unpack(header)
            if length > MAX_MESSAGE or count > MAX_DESCRIPTORS:
                raise PeerMisbehavedError(f"a frame of {length} bytes and {count} descriptors is over the limit")
            payload = self._read(length, deadline, descriptors)
            if len(descriptors) != count:
                raise PeerMisbehavedError(f"{len(descriptors)} descriptors came, {count} were announced")
            return Message(_parse(payload), tuple(descriptors))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def _read(self, size: int, deadline: float | None, descriptors: list[int]) -> bytes:
        parts: list[bytes] = []
        while size:
            self._socket.settimeout(_remaining(deadline))
            try:
                data, ancillary, _, _ = self._socket.recvmsg(min(size, 1 << 20), _ROOM, socket.MSG_CMSG_CLOEXEC)
            except TimeoutError:
                raise
            except OSError as error:
                raise PeerGoneError("the other side of the fence is gone") from error
            descriptors.extend(_descriptors(ancillary))
            if len(descriptors) > MAX_DESCRIPTORS:
                raise PeerMisbehavedError(f"more than {MAX_DESCRIPTORS} descriptors came with one frame")
            if not data:
                raise PeerGoneError("the other side of the fence is gone")
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def shut(self) -> None:
        """End both directions without closing: a thread that waits in `receive` wakes and finds the peer gone."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return what SCM_RIGHTS brought. (`socket.recv_fds` of Python 3.11 drops the flag that closes them on exec.)"""
    received = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return list(received)


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no whole message came in time")
    return left


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        body = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PeerMisbehavedError("a message is not valid JSON") from error
    if not isinstance(body, dict):
        raise PeerMisbehavedError("a message is not a JSON object")
    return body


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
