"""The ready simulators: each passes its own tests and the check, and an agent learns in it through the fence."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.client.upload import pack
from ringfence.simulators.check import examine
from tests import fences
from tests.fences import ENVIRONMENTS
from tests.unit.learner.conftest import Fence

GALLERY = Path(__file__).resolve().parents[3] / "examples" / "simulators"
NAMES = sorted(path.parent.name for path in GALLERY.glob("*/simulator.yaml"))
PPO = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "policy_kwargs": {"net_arch": [16], "activation_fn": "tanh"}}


@pytest.fixture(scope="module")
def fence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fence]:
    with fences.sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield Fence(opened)


def evaluated(fence: Fence, bundle: bytes, agents: list[dict[str, str]], files: dict[str, bytes] | None = None) -> Any:
    return fence.with_simulator(bundle, "evaluate", {"episodes": 40, "seed": 1, "agents": agents},
                                {"bundle": bundle, **(files or {})}).values["agents"]


def test_the_gallery_is_what_its_page_lists() -> None:
    page = (GALLERY / "README.md").read_text()
    assert NAMES == ["cartpole", "inventory", "trading"]
    assert all(f"[{name}]({name}/)" in page for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass(name: str) -> None:
    command = [ENVIRONMENTS / "base/bin/python", "-B", GALLERY / name / "tests/test_simulator.py"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("passed") >= 3


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_the_check_without_a_finding(fence: Fence, name: str) -> None:
    report = examine(fence.sandbox, pack(GALLERY / name))
    assert (report["passed"], report["findings"]) == (True, []), report
    assert {check["state"] for check in report["checks"]} == {"ok"}
    assert report["simulator"]["licences"] == ["Apache-2.0"]


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_learns_in_it_and_is_judged(fence: Fence, name: str) -> None:
    bundle = pack(GALLERY / name)
    learned = fence.with_simulator(bundle, "learn.sb3", {
        "algorithm": "PPO", "hyperparameters": PPO, "total_steps": 512, "seed": 5}, environment="sb3", num_envs=4)
    assert learned.values["steps"] >= 512
    judged = evaluated(fence, bundle, [{"name": "agent", "source": "package"}, {"name": "random", "source": "random"}],
                       learned.files)
    assert {agent["episodes"] for agent in judged.values()} == {40}


def test_the_careful_shopkeeper_is_better_than_chance(fence: Fence) -> None:
    judged = evaluated(fence, pack(GALLERY / "inventory"), [{"name": "order-up-to", "source": "baseline"},
                                                           {"name": "random", "source": "random"}])
    assert judged["order-up-to"]["ci_low"] > judged["random"]["ci_high"]
