"""What the supervisor's children share: they die with it, log to a file, and tell it how they do over a pipe."""

from __future__ import annotations

import ctypes
import json
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringfence.errors import RingfenceError

FATAL = 78
_PR_SET_PDEATHSIG = 1
_LOG_BYTES, _LOG_FILES = 10 << 20, 5


class Reporter:
    """The child's end of the pipe to its supervisor. Without one (`descriptor` < 0) reports go nowhere."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)

    def tell(self, event: str, **values: Any) -> None:
        """Send one line: an event and its values."""
        if self._descriptor < 0:
            return
        try:
            os.write(self._descriptor, json.dumps({"event": event, **values}).encode() + b"\n")
        except BrokenPipeError:
            self._descriptor = -1


class OneLine(logging.Formatter):
    """Keeps a message on its own line: a caller's path or a workload's words can't pass for another record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line, whatever is not printable in its message escaped."""
        record.message = "".join(char if char.isprintable() else char.encode("unicode_escape").decode()
                                 for char in record.message)
        return super().formatMessage(record)


def run(name: str, logs: Path, body: Callable[[Reporter], None]) -> int:
    """Run a child's body: arguments `PARENT REPORT_DESCRIPTOR` tell whom to die with and where to report.

    Returns:
        0, or FATAL when starting again can't help; a crash leaves through the interpreter with status 1.
    """
    parent, descriptor = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    os.umask(0o077)
    log_to(logs / f"{name}.log")
    reporter = Reporter(descriptor)
    try:
        body(reporter)
    except RingfenceError as error:
        logging.getLogger(__name__).error("%s: %s", error.code, error.line())
        reporter.tell("problem", problem=error.as_problem())
        return FATAL
    except Exception:
        logging.getLogger(__name__).exception("%s crashed", name)
        raise
    return 0


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` dies (0: nobody); leave at once if it is dead already."""
    if parent <= 0:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(FATAL)


def log_to(path: Path) -> None:
    """Send every log record to a rotated file of at most 10 MiB, five of them kept."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
