"""`ringfence sim check`: what an author is told of a project, each flaw by its name, in real fences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.simulators.check import examine
from tests.bundles import CARTPOLE, CARTPOLE_BATCHED, packed

MANIFEST = """kind: Simulator
name: tested
version: 1.0.0
entry_point: "project:make"
licences: [MIT]
vector: {vector}
{more}
"""
# An environment that is sound; each flaw replaces a part of it.
SOUND = """
import gymnasium, numpy as np
from gymnasium import spaces
class Walk(gymnasium.Env):
    observation_space = spaces.Box(-20.0, 20.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.place = 0, self.np_random.uniform(-1, 1)
        return self.seen(), {}
    def step(self, action):
        self.steps += 1
        self.place += (1 if action else -1) * self.np_random.uniform(0, 0.1)
        return self.seen(), float(self.place), False, self.steps >= 20, {}
    def seen(self):
        return np.array([self.place, self.steps], np.float32)
make = Walk
"""
BATCHED = """
import gymnasium, numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
class Walks(gymnasium.vector.VectorEnv):
    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    def __init__(self, n):
        self.num_envs = n
        self.single_observation_space, self.single_action_space = spaces.Discrete(30), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self.random = np.random.default_rng()
    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.place = self.random.integers(0, 20, self.num_envs)
        return self.place.copy(), {}
    def step(self, actions):
        self.place = self.place + self.random.integers(0, 2, self.num_envs)
        over, infos = self.place >= 25, {}
        if over.any():
            infos = {"final_obs": self.place.copy()}
            self.place = np.where(over, 0, self.place)
        return self.place.copy(), over.astype(float), over, np.zeros(self.num_envs, bool), infos
make = Walks
"""


def report(fences: BubblewrapSandbox, code: str, *, vector: bool = False, more: str = "",
           files: Mapping[str, str | bytes] = {}) -> dict[str, Any]:
    manifest = MANIFEST.format(vector=str(vector).lower(), more=more)
    return examine(fences, packed({"simulator.yaml": manifest, "project.py": code, **files}))


def failures(found: Mapping[str, Any]) -> dict[str, str]:
    return {check["name"]: check["code"] for check in found["checks"] if check["state"] == "failed"}


@pytest.mark.parametrize(("code", "vector"), [(SOUND, False), (BATCHED, True), (CARTPOLE, False),
                                              (CARTPOLE_BATCHED, True)],
                         ids=["own", "own_batched", "gymnasium", "gymnasium_batched"])
def test_a_sound_simulator_passes_with_its_measures(fences: BubblewrapSandbox, code: str, vector: bool) -> None:
    found = report(fences, code, vector=vector)
    assert found["passed"], found
    assert found["simulator"]["step_microseconds"] > 0
    assert 10 << 20 < found["simulator"]["memory_bytes"] < 1 << 30
    assert found["findings"] == []
    assert found["advisories"] == "not checked"
    assert found["digest"].startswith("sha256:")


FLAWS = {
    "unseeded": ("self.np_random.uniform(0, 0.1)", "np.random.uniform(0, 0.1)", "seeded replay",
                 "simulator.not_reproducible"),
    "remembers": ("super().reset(seed=seed)", "super().reset(seed=seed); self.kept = getattr(self, 'kept', 0) + 1; "
                  "self.np_random.uniform(size=self.kept // 3)", "seeded replay", "simulator.not_reproducible"),
    "another process": ("make = Walk", "import time; STARTED = time.time_ns() % 1_000_003; make = Walk",
                        "replay in another process", "simulator.not_reproducible"),
    "nan": ("[self.place, self.steps]", "[self.place, np.nan if self.steps == 7 else 0]", "seeded replay",
            "simulator.not_finite"),
    "infinite reward": ("float(self.place), False", "float('inf'), False", "seeded replay", "simulator.not_finite"),
    "out of range": ("[self.place, self.steps]", "[self.place, self.steps * 10]", "seeded replay",
                     "simulator.out_of_space"),
    "out of range at the end": ("[self.place, self.steps]", "[self.place, self.steps + 5 * (self.steps == 20)]",
                                "seeded replay", "simulator.out_of_space"),
    "dtype": ("self.steps], np.float32)", "self.steps], np.float64)", "types and shapes", "simulator.wrong_type"),
    "shape": ("np.array([self.place, self.steps], np.float32)", "np.zeros((2, 1, 1), np.float32)[:, 0]",
              "types and shapes", "simulator.failed"),
    "flag": ("self.steps >= 20, {}", "int(self.steps >= 20), {}", "types and shapes", "simulator.wrong_type"),
    "info": ("self.steps >= 20, {}", "self.steps >= 20, None", "types and shapes", "simulator.wrong_type"),
    "four values": ("float(self.place), False, self", "float(self.place), self", "seeded replay", "simulator.failed"),
    "raises": ("self.steps += 1", "self.steps += 1; assert self.steps < 9", "seeded replay", "simulator.failed"),
    "no options": ("seed=None, options=None", "seed=None", "Gymnasium's checker", "simulator.gymnasium"),
    "dies": ("self.steps += 1", "raise SystemExit(3)", "fence", "workload.died"),
}


@pytest.mark.parametrize(("part", "flaw", "check", "code"), FLAWS.values(), ids=FLAWS.keys())
def test_a_flaw_is_named_with_the_way_out(fences: BubblewrapSandbox, part: str, flaw: str, check: str,
                                          code: str) -> None:
    assert part in SOUND
    told = SOUND.replace(part, flaw)
    if "STARTED" in flaw:
        told = told.replace("[self.place, self.steps]", "[self.place, STARTED / 1e6]")
    found = report(fences, told)
    assert not found["passed"]
    failed = failures(found)
    assert (code in failed.values()) and (check in failed or code == "simulator.failed"), failed
    assert all(one["fix"] or one["code"].startswith("workload.") for one in found["checks"] if one["state"] == "failed")


VECTOR_FLAWS = {
    "late reset": ("SAME_STEP", "NEXT_STEP", "simulator.autoreset_unsupported"),
    "no final observation": ('infos = {"final_obs": self.place.copy()}', "pass", "simulator.final_obs_missing"),
    "always two": ("self.num_envs = n", "n = self.num_envs = 2", "simulator.wrong_number"),
    "lists": ("over.astype(float), over", "over.astype(float).tolist(), over", "simulator.wrong_type"),
    "floats": ("return self.place.copy(), over", "return self.place.astype(float), over", "simulator.wrong_type"),
    "flags": ("over, np.zeros(self.num_envs, bool)", "over, np.zeros(self.num_envs)", "simulator.wrong_type"),
}


@pytest.mark.parametrize(("part", "flaw", "code"), VECTOR_FLAWS.values(), ids=VECTOR_FLAWS.keys())
def test_a_batched_ones_flaw_is_named(fences: BubblewrapSandbox, part: str, flaw: str, code: str) -> None:
    assert part in BATCHED
    assert code in failures(report(fences, BATCHED.replace(part, flaw), vector=True)).values()


@pytest.mark.parametrize(("more", "code"), [
    ("requirements: [no-such-package]", "simulator.requirement_missing"),
    ("requirements: [numpy<1]", "simulator.requirement_missing"),
    ("requirements: ['numpy @ https://x']", "simulator.requirement_invalid"),
    ("requirements: numpy", "simulator.manifest_wrong"),
    ("kind: Environment", "simulator.manifest_wrong")])
def test_a_manifest_that_asks_for_what_is_not_there_is_refused(fences: BubblewrapSandbox, more: str, code: str) -> None:
    (failed,) = set(failures(report(fences, SOUND, more=more)).values())
    assert failed == code


def test_an_episode_without_an_end_is_a_warning(fences: BubblewrapSandbox) -> None:
    found = report(fences, SOUND.replace("self.steps >= 20", "False").replace("self.steps]", "0.0]"))
    assert found["passed"]
    (warned,) = [check for check in found["checks"] if check["state"] == "warning"]
    assert "no episode ended" in warned["detail"]


def test_growing_memory_is_a_warning(fences: BubblewrapSandbox) -> None:
    found = report(fences, SOUND.replace("self.steps += 1", "self.steps += 1; KEPT.append(b'x' * 50_000)")
                   .replace("make = Walk", "make = Walk\nKEPT = []"))
    assert any("memory grew" in check["detail"] for check in found["checks"] if check["state"] == "warning")


def test_a_high_finding_is_not_passed_over(fences: BubblewrapSandbox) -> None:
    found = report(fences, SOUND + "\nimport subprocess\n")
    assert not found["passed"]
    assert failures(found) == {}
    assert found["findings"][0]["rule"] == "call.process"
    assert "policy would not admit it" in found["summary"]


def test_no_bundle_at_all(fences: BubblewrapSandbox) -> None:
    found = examine(fences, b"no tar" * 200)
    assert set(failures(found).values()) == {"simulator.bundle_broken"}
    assert not found["passed"]
