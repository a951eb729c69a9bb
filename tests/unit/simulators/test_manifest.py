"""What an untrusted inspection says is rebuilt from checked parts."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.errors import InvalidError, WorkloadError
from ringfence.simulators.domain import Manifest, SimulatorRef

GOOD: dict[str, Any] = {
    "name": "corridor", "version": "1.0", "vector": True, "baselines": ["optimal"], "step_microseconds": 2.5,
    "observation_space": {"type": "Box", "shape": [2], "dtype": "float32", "low": None, "high": [1, 2]},
    "action_space": {"type": "Discrete", "n": 2}}


def test_a_manifest_survives_the_database() -> None:
    manifest = Manifest.from_json(GOOD)
    assert Manifest.from_json(manifest.as_json()) == manifest
    assert manifest.action_space == {"type": "Discrete", "n": 2, "start": 0}


@pytest.mark.parametrize("changes", [
    {"name": "../etc"}, {"name": None}, {"name": "A" * 3}, {"version": "1 0"}, {"version": 1}, {"vector": "yes"},
    {"baselines": "optimal"}, {"baselines": ["random"]}, {"baselines": ["../x"]}, {"baselines": ["a"] * 33},
    {"baselines": [1]}, {"step_microseconds": "fast"}, {"step_microseconds": -1}, {"step_microseconds": float("nan")},
    {"observation_space": {"type": "Object"}}, {"observation_space": None}, {"action_space": {"type": "Discrete"}},
    {"action_space": {"type": "Discrete", "n": 0}}])
def test_a_manifest_that_lies_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WorkloadError) as caught:
        Manifest.from_json({**GOOD, **changes})
    assert caught.value.code == "simulator.manifest"


@pytest.mark.parametrize("text", ["", "@1", "a@", "A", "sha256:abc", "a/b", "a@b@c", "a@ b"])
def test_what_names_no_simulator(text: str) -> None:
    with pytest.raises(InvalidError):
        SimulatorRef.parse(text)
