"""Waiting grows with failures, for the one who fails, and is forgotten."""

from __future__ import annotations

import pytest

from ringfence.errors import ThrottledError
from ringfence.trust.identity import throttle as module
from ringfence.trust.identity.throttle import FORGET, FREE, Throttle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def waits(throttle: Throttle, account: str = "ada", address: str = "a") -> float:
    try:
        throttle.check(account, address)
    except ThrottledError as error:
        return float(error.value)
    return 0.0


def test_some_failures_are_free_then_each_doubles_the_wait(throttle: Throttle) -> None:
    seen = []
    for _ in range(FREE + 12):
        throttle.failed("ada", "a")
        seen.append(waits(throttle))
    assert seen[: FREE - 1] == [0.0] * (FREE - 1)
    assert seen[FREE - 1 : FREE + 4] == [1, 2, 4, 8, 16]
    assert seen[-1] == 300, "never longer than five minutes"


def test_the_wait_passes(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE + 2):
        throttle.failed("ada", "a")
    assert waits(throttle) == 4
    clock.now += 4
    assert waits(throttle) == 0


def test_a_stranger_does_not_lock_out_the_owner(throttle: Throttle) -> None:
    for _ in range(40):
        throttle.failed("ada", "stranger")
    assert waits(throttle, "ada", "stranger") > 0 and waits(throttle, "ada", "home") == 0


def test_an_address_that_tries_many_accounts_waits_too(throttle: Throttle) -> None:
    for number in range(51):
        throttle.failed(f"account-{number}", "a")
    assert waits(throttle, "one-more", "a") > 0 and waits(throttle, "one-more", "b") == 0


def test_success_and_an_hour_of_quiet_are_a_new_start(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE + 3):
        throttle.failed("ada", "a")
    throttle.succeeded("ada", "a")
    assert waits(throttle) == 0
    for _ in range(FREE + 3):
        throttle.failed("ada", "b")
    clock.now += FORGET
    throttle.failed("ada", "b")
    assert waits(throttle, "ada", "b") == 0


def test_memory_is_bounded(throttle: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 100)
    for number in range(1000):
        throttle.failed(f"{number}", f"{number}")
    assert len(throttle._failures) <= 100
