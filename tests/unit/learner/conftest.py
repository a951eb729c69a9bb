"""Learners and evaluators as they really run: each in a fence, its simulator in another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from ringfence.sandbox.sandbox import FenceSpec, Limits, Sandbox
from ringfence.sandbox.tasks import run_task, start_service
from ringfence_workload.wire import memory
from ringfence_workload.wire.channel import create_channel, parameters
from ringfence_workload.wire.spaces import from_json
from tests import fences

LIMITS = Limits(memory=4 << 30, wall_seconds=120.0)


@dataclass(frozen=True)
class Ran:
    """What a task handed back: its values, its files' bytes, and the metrics it reported."""

    values: dict[str, Any]
    files: dict[str, bytes]
    metrics: list[dict[str, Any]]


@dataclass(frozen=True)
class Fence:
    """Runs tasks, with a simulator at the other end of the channel where one is wanted."""

    sandbox: Sandbox

    def run(self, task: str, given: Mapping[str, Any], files: Mapping[str, bytes], environment: str = "base",
            descriptors: Mapping[str, int] | None = None) -> Ran:
        """Run a task that needs no simulator."""
        metrics: list[dict[str, Any]] = []
        inputs = {name: memory.sealed(data) for name, data in files.items()}
        try:
            result = run_task(self.sandbox, FenceSpec("tested", environment, LIMITS), task, given,
                              {**inputs, **(descriptors or {})},
                              lambda event: metrics.append(event) if event["event"] == "metric" else None)
        finally:
            for descriptor in inputs.values():
                os.close(descriptor)
        outputs = {name: memory.read_all(output, 1 << 30) for name, output in result.outputs.items()}
        for output in result.outputs.values():
            os.close(output)
        return Ran(result.values, outputs, metrics)

    def with_simulator(self, bundle: bytes, task: str, given: Mapping[str, Any], files: Mapping[str, bytes] = {},
                       environment: str = "base", num_envs: int = 4) -> Ran:
        """Run a task over a channel to the simulator of `bundle`."""
        described = self.run("simulator.inspect", {}, {"bundle": bundle}).values
        observation, action = (from_json(described[f"{name}_space"]) for name in ("observation", "action"))
        channel, spaces = create_channel(observation, action, num_envs), parameters(observation, action, num_envs)
        packed = memory.sealed(bundle)
        try:
            simulator, _ = start_service(self.sandbox, FenceSpec("simulator", limits=LIMITS), "simulator.serve", spaces,
                                         {"bundle": packed, **channel.inputs()})
            with simulator:
                return self.run(task, {**spaces, **given}, files, environment, channel.inputs())
        finally:
            os.close(packed)
            channel.close()


@pytest.fixture(scope="session")
def fence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fence]:
    with fences.sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield Fence(opened)
