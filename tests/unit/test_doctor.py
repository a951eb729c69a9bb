"""The doctor names what is missing, what that costs, and the way out; it changes nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence.doctor import Check, examine, summary
from ringfence.errors import UnavailableError
from ringfence.settings import ServerSettings, Settings


def checked(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(home=tmp_path / "home", server=ServerSettings(port=port))


def test_it_looks_at_everything_and_changes_nothing(settings: Settings) -> None:
    checks = checked(settings)
    assert {"versions", "fence: namespaces", "fence: system calls", "fence: memory", "environment: base", "home",
            "disk", "memory", "port", "certificates", "clock"} <= set(checks)
    assert not settings.home.exists()


def test_whatever_is_not_well_says_what_it_costs_and_how_to_mend_it(settings: Settings, tmp_path: Path) -> None:
    for check in examine(settings.model_copy(update={"environments": tmp_path / "none"})):
        assert check.state == "ok" or (check.cost and check.fix), check


def test_a_missing_environment_is_named_with_the_command_that_makes_it(settings: Settings, tmp_path: Path) -> None:
    checks = checked(settings.model_copy(update={"environments": tmp_path / "none"}))
    assert checks["environment: base"].state == "failed"
    assert "pip install" in checks["environment: base"].fix
    assert checks["environment: sb3"].state == "warning"


def test_a_port_in_use_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.server.port))
        taken.listen()
        check = checked(settings)["port"]
    assert (check.state, "--port" in check.fix) == ("failed", True)
    assert checked(settings)["port"].state == "ok"


def test_an_open_home_is_named(settings: Settings) -> None:
    (settings.home / "platform").mkdir(parents=True)
    (settings.home / "platform").chmod(0o755)
    assert checked(settings)["home"].state == "warning"


def test_no_fence_is_a_failure_with_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise UnavailableError("sandbox.missing", "There is no bubblewrap.", fix="apt-get install bubblewrap")

    monkeypatch.setattr("ringfence.doctor.BubblewrapSandbox.guarantees", refuse)
    check = checked(settings)["fence"]
    assert (check.state, check.detail, check.fix) == ("failed", "There is no bubblewrap.", "apt-get install bubblewrap")
    assert summary([check]).startswith("1 of 1 checks failed")


def test_a_clock_that_went_back_is_named(settings: Settings) -> None:
    run = settings.home / "platform" / "run"
    run.mkdir(parents=True, mode=0o700)
    (run / "state.json").write_text("{}")
    os.utime(run / "state.json", (4e9, 4e9))
    assert checked(settings)["clock"].state == "failed"


def test_as_a_program_it_prints_json_and_exits_by_the_outcome(settings: Settings) -> None:
    environment = {**os.environ, "RINGFENCE_HOME": str(settings.home),
                   "RINGFENCE_SERVER__PORT": str(settings.server.port)}
    finished = subprocess.run([sys.executable, "-m", "ringfence.doctor"], capture_output=True, text=True, check=False,
                              env=environment)
    report = json.loads(finished.stdout)
    failed = [check for check in report["checks"] if check["state"] == "failed"]
    assert finished.returncode == bool(failed)
    wrong = subprocess.run([sys.executable, "-m", "ringfence.doctor"], capture_output=True, text=True, check=False,
                           env={**environment, "RINGFENCE_SERVER__PORT": "x"})
    assert (wrong.returncode, json.loads(wrong.stdout)["checks"][0]["name"]) == (1, "settings")
