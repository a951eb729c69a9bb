"""A simulator in one fence and its learner in another, joined by the channel."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ringfence.errors import WorkloadError
from ringfence.sandbox.sandbox import FenceSpec, OnEvent, Sandbox, TaskResult, Workload
from ringfence.sandbox.tasks import run_task, start_service
from ringfence_workload.wire.channel import ChannelDescriptors, create_channel, parameters
from ringfence_workload.wire.spaces import SpaceSpec

POLL_SECONDS = 0.25
_turns = itertools.count()


@dataclass(frozen=True)
class Simulated:
    """What to simulate: `bundle` is a sealed descriptor, which stays the caller's."""

    bundle: int
    observation: SpaceSpec
    action: SpaceSpec
    num_envs: int
    spec: FenceSpec


def run_with_simulator(sandbox: Sandbox, simulated: Simulated, spec: FenceSpec, task: str,  # noqa: PLR0917
                       values: Mapping[str, Any], inputs: Mapping[str, int], on_event: OnEvent | None = None,
                       should_stop: Callable[[], bool] | None = None) -> TaskResult:
    """Run `task` with a channel to a fresh simulator; where neither spec names CPUs, both share one.

    The learner waits while the simulator steps and the other way round, so two CPUs would only add the cost of
    waking one from the other.

    Raises:
        WorkloadError: as `run_task`; `simulator.*` where the simulator is to blame.
        UnavailableError: no fence, or an environment is not installed.
    """
    if not spec.cpus and not simulated.spec.cpus:
        cpus = next_cpu()
        spec, simulated = replace(spec, cpus=cpus), replace(simulated, spec=replace(simulated.spec, cpus=cpus))
    with serving(sandbox, simulated) as channel:
        known = parameters(simulated.observation, simulated.action, simulated.num_envs)
        return run_task(sandbox, spec, task, {**values, **known}, {**inputs, **channel.inputs()}, on_event, should_stop)


@contextlib.contextmanager
def serving(sandbox: Sandbox, simulated: Simulated) -> Iterator[ChannelDescriptors]:
    """Serve a simulator for the length of the block; if it ends before, the channel says why.

    Raises:
        WorkloadError: the simulator did not start; within the block, a `simulator.gone` is told how it ended.
    """
    channel = create_channel(simulated.observation, simulated.action, simulated.num_envs)
    try:
        known = parameters(simulated.observation, simulated.action, simulated.num_envs)
        workload, _ = start_service(sandbox, simulated.spec, "simulator.serve", known,
                                    {"bundle": simulated.bundle, **channel.inputs()})
        with workload, _watched(workload, channel):
            yield channel
    finally:
        channel.close()


@contextlib.contextmanager
def _watched(workload: Workload, channel: ChannelDescriptors) -> Iterator[None]:
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(workload, channel, done), name="simulator", daemon=True)
    watcher.start()
    try:
        yield
    except WorkloadError as error:
        with contextlib.suppress(TimeoutError):
            error.add_note(f"the simulator's log: {workload.wait(0).log[-2000:]}")
        raise
    finally:
        done.set()
        watcher.join()


def _watch(workload: Workload, channel: ChannelDescriptors, done: threading.Event) -> None:
    while not done.is_set():
        with contextlib.suppress(TimeoutError):
            channel.break_off(workload.wait(POLL_SECONDS).reason)
            return


def next_cpu() -> frozenset[int]:
    """Return one of this process's CPUs, each in turn."""
    cpus = sorted(os.sched_getaffinity(0))
    return frozenset({cpus[next(_turns) % len(cpus)]})
