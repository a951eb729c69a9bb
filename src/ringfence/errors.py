"""Every error a user can meet.

RingfenceError                  code, message, fix, field, value; never a stack trace without --debug
├── InvalidError         422    what was sent can't be taken: the field, the value, the fix
│   └── TooLargeError    413
├── UnauthenticatedError 401    who is it?
├── DeniedError          403    policy said no: which rule, and what would satisfy it
├── MissingError         404    no such thing, or not in this project
├── ConflictError        409    it exists already, or its state does not allow this
├── ThrottledError       429    too often: wait
├── TamperedError        409    a digest, signature or chain does not hold
├── UnavailableError     503    a part is missing (sandbox, keys, trail, disk, port): what, and how to get it
└── WorkloadError        422    a fenced workload failed: its reason
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar

INTERRUPTED = "Interrupted. Nothing was half-done: run the same command again to go on."
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when a disk, a quota or a largest file is full."""


class RingfenceError(Exception):
    """The root: `code` is stable (`dataset.unknown_column`), `fix` is the way out in one sentence."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, *, fix: str = "", field: str = "", value: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.field, self.value = code, message, fix, field, value

    def as_problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem document."""
        return {"type": f"urn:ringfence:error:{self.code}", "title": self.message, "status": self.status,
                "code": self.code, "fix": self.fix, "field": self.field, "value": self.value}

    def line(self) -> str:
        """Return the error as the one line a terminal shows."""
        return f"{self.message}{' ' if self.fix else ''}{self.fix}"


class InvalidError(RingfenceError):
    """What was sent can't be taken."""

    status = 422


class TooLargeError(InvalidError):
    """What was sent is over a limit."""

    status = 413


class UnauthenticatedError(RingfenceError):
    """The caller did not prove who they are."""

    status = 401


class DeniedError(RingfenceError):
    """Policy said no; `fix` says what would satisfy the rule."""

    status = 403


class MissingError(RingfenceError):
    """No such thing in this project."""

    status = 404


class ConflictError(RingfenceError):
    """It exists already, or its state does not allow this."""

    status = 409


class ThrottledError(RingfenceError):
    """Too many attempts."""

    status = 429


class TamperedError(RingfenceError):
    """A digest, a signature or a chain does not hold."""

    status = 409


class UnavailableError(RingfenceError):
    """A part the platform needs is missing."""

    status = 503


class WorkloadError(RingfenceError):
    """A fenced workload failed."""

    status = 422


BY_STATUS: dict[int, type[RingfenceError]] = {
    kind.status: kind
    for kind in (WorkloadError, InvalidError, TooLargeError, UnauthenticatedError, DeniedError, MissingError,
                 TamperedError, ConflictError, ThrottledError, UnavailableError)
}


def from_problem(problem: dict[str, Any]) -> RingfenceError:
    """Return the error that `as_problem` described: the client's half of the round trip."""
    kind = BY_STATUS.get(int(problem.get("status", 500)), RingfenceError)
    return kind(str(problem.get("code", "unknown")), str(problem.get("title", "unknown error")),
                fix=str(problem.get("fix", "")), field=str(problem.get("field", "")),
                value=str(problem.get("value", "")))
