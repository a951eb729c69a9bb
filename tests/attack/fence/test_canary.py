"""The egress canary: valid only where its listeners are heard from outside."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.errors import UnavailableError
from ringfence.sandbox import canary
from ringfence.sandbox.canary import egress_canary
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox


def test_every_listener_is_reached_from_outside_and_none_from_inside(fence: BubblewrapSandbox) -> None:
    result = egress_canary(fence)
    assert result.blocked
    assert {"tcp", "udp", "dns", "unix", "abstract"} <= {attempt.name for attempt in result.attempts}
    assert all(attempt.reached_outside and not attempt.reached_inside for attempt in result.attempts)
    assert result.as_json()["attempts"][0]["name"]


def test_a_leak_is_seen(fence: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prober run where nothing is fenced: exactly what a fence with a hole would show."""
    def unfenced(sandbox: Any, spec: Any, task: str, parameters: dict[str, Any]) -> Any:
        canary._probe_outside(parameters)
        claims = {name: {"reached": False} for name in parameters["targets"]}
        return type("Result", (), {"values": {"attempts": claims}})

    monkeypatch.setattr(canary, "run_task", unfenced)
    result = egress_canary(fence)
    assert not result.blocked
    assert all(attempt.reached_inside for attempt in result.attempts)


def test_a_prober_that_says_nothing_proves_nothing(fence: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "run_task", lambda *_: type("Result", (), {"values": {}}))
    assert not egress_canary(fence).blocked


def test_a_canary_that_is_not_heard_outside_is_invalid(fence: BubblewrapSandbox,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_probe_outside", lambda parameters: None)
    result = egress_canary(fence)
    assert not result.blocked
    assert not any(attempt.reached_outside for attempt in result.attempts)


def test_a_canary_without_listeners_is_refused(fence: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: Any) -> None:
        raise OSError("address in use")

    monkeypatch.setattr(canary._Listeners, "_open_all", no_room)
    with pytest.raises(UnavailableError) as caught:
        egress_canary(fence)
    assert caught.value.code == "canary.no_listener"
