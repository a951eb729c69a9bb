"""What stands in the logs: one line for each record, whatever a caller or a workload sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.supervisor.child import OneLine, log_to


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log_to(tmp_path / "server.log")
    yield tmp_path / "server.log"
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


# A lone surrogate is tried below without the root logger: pytest can not send a captured one to its controller.
@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\x1b[2K", "\x85", "\u2028"],
                         ids=["newline", "return", "both", "escape", "next line", "line separator"])
def test_a_message_can_not_pass_for_another_record(log: Path, break_: str) -> None:
    """Seen broken: `GET /x%0a2026-11-23 ...`, from anybody, made a line of its own."""
    logging.getLogger("ringfence.access").info("%s %s", "GET", f"/x{break_}2026-11-23 10:00:00,000 INFO forged")
    assert len(log.read_text().splitlines()) == 1
    assert log.read_text().rstrip("\n").isprintable()


def test_a_lone_surrogate_is_written_as_what_can_be_encoded() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "GET /%s", ("\udc80",), None)
    assert OneLine("%(message)s").format(record).encode()


def test_a_trace_is_kept_whole(log: Path) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("x").exception("it crashed")
    assert "Traceback" in log.read_text()
    assert len(log.read_text().splitlines()) > 2
