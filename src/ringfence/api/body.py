"""A request's body as an iterator for a service that works in a thread: from socket to service, never a file."""

from __future__ import annotations

from collections.abc import Iterator

from anyio import from_thread
from fastapi import Request

from ringfence.errors import InvalidError

_PART = 1 << 20


class BodyStream:
    """Iterates over the body in parts of about 1 MiB. For use in the thread that the framework runs a route in."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts.

        Raises:
            InvalidError: the client went away before the end.
            TooLargeError: the body is over its limit.
        """
        while not self._ended:
            if part := from_thread.run(self._part):
                yield part

    async def _part(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < _PART and not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidError("upload.interrupted", "The upload was cut off before its end.",
                                   fix="Send the whole file again; nothing was kept.")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._ended = not message.get("more_body", False)
        return b"".join(parts)
