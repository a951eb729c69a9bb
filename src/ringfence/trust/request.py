"""Which request the running code works for: set by a face, read by the trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestInfo:
    """`id` is the request's (or the job's); `client` is where it came from (`192.0.2.7`, `worker`, `local`)."""

    id: str = ""
    client: str = "local"


_current: ContextVar[RequestInfo] = ContextVar("ringfence_request", default=RequestInfo())  # noqa: B039 - frozen


def current_request() -> RequestInfo:
    """Return what was set for this thread or task; the empty one outside any request."""
    return _current.get()


@contextmanager
def request(info: RequestInfo) -> Iterator[RequestInfo]:
    """Set the request for the length of the block."""
    token = _current.set(info)
    try:
        yield info
    finally:
        _current.reset(token)
