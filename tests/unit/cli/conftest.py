from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringfence.cli import main as command_line
from ringfence.cli.session import choose_context
from tests.canned import Canned, canned_platform


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit status and what it printed."""

    status: int
    output: str
    errors: str


Run = Callable[..., Finished]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RINGFENCE_URL", "RINGFENCE_CA", "RINGFENCE_TOKEN", "RINGFENCE_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RINGFENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    choose_context("")
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, stdin: str = "") -> Finished:
        monkeypatch.setattr(sys, "argv", ["ringfence", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            command_line.main()
            status = 0
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        printed = capsys.readouterr()
        return Finished(status, printed.out, printed.err)

    return run


@pytest.fixture
def platform(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A platform that the commands talk to, already logged in."""
    folder = tmp_path / "canned"
    folder.mkdir()
    with canned_platform(folder) as platform:
        monkeypatch.setenv("RINGFENCE_URL", platform.url)
        monkeypatch.setenv("RINGFENCE_CA", str(platform.ca))
        monkeypatch.setenv("RINGFENCE_TOKEN", "t0ken")
        yield platform
