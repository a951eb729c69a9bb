from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence_workload.task import Job
from ringfence_workload.wire import memory, spaces
from ringfence_workload.wire.channel import (
    CLOSE,
    LINE,
    RESET,
    STEP,
    ChannelClient,
    ChannelServer,
    Header,
    Layout,
    SimulatorError,
    create_channel,
    parameters,
)
from tests.channels import BOX, CHOICE, NO_CONNECTION, job, served
from tests.unit.wire.test_spaces import any_space


def count(server: ChannelServer) -> None:
    """A simulator whose state is the sum of the actions so far; an episode ends when it is over 9."""
    state = np.zeros(server.layout.num_envs)
    while True:
        command, seed = server.await_request()
        batch = server.batch
        if command == CLOSE:
            return
        if command == RESET:
            state[:] = max(seed, 0)
        elif command == STEP:
            state += server.actions()
            over = state > 9
            batch.finals[:] = state[:, None]
            batch.rewards[:], batch.terminated[:], batch.truncated[:] = state, over, 0
            state[over] = 0
        batch.observations[:] = state[:, None]
        server.answer()


def test_steps_rewards_and_ends_arrive() -> None:
    with served(count) as (client, _):
        assert (client.num_envs, client.observation, client.action) == (4, BOX, CHOICE)
        assert client.reset(seed=7).tolist() == [[7.0] * 3] * 4
        batch = client.step([0, 1, 2, 3])
        assert batch.observations[:, 0].tolist() == [7, 8, 9, 0]
        assert batch.rewards.tolist() == [7, 8, 9, 10] and batch.rewards.dtype == np.float64
        assert batch.terminated.tolist() == [False, False, False, True] and batch.terminated.dtype == np.bool_
        assert not batch.truncated.any()
        assert batch.final_observations[3].tolist() == [10.0] * 3
        assert client.reset().tolist() == [[0.0] * 3] * 4


def test_what_arrived_is_the_receivers_own_copy() -> None:
    with served(count) as (client, _):
        first = client.reset(seed=1)
        batch = client.step([1, 1, 1, 1])
        client.step([1, 1, 1, 1])
        assert first.tolist() == [[1.0] * 3] * 4
        assert batch.observations[:, 0].tolist() == batch.rewards.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("actions", [[0, 1, 2], [0, 1, 2, 4], [0, 0, 0, -1], [[0], [0], [0], [0]]])
def test_actions_outside_the_space_are_refused_here(actions: list[Any]) -> None:
    with served(count) as (client, _):
        client.reset()
        with pytest.raises(ValueError, match="members of"):
            client.step(actions)


@settings(deadline=None, max_examples=50)
@given(any_space, any_space, st.integers(1, 70))
def test_the_arrays_of_a_layout_lie_apart_and_within(observation: Any, action: Any, num_envs: int) -> None:
    layout = Layout.of(observation, action, num_envs)
    widths = {"actions": action.bytes, "observations": observation.bytes, "finals": observation.bytes, "rewards": 8,
              "terminated": 1, "truncated": 1}
    ends = sorted((start, start + widths[name] * num_envs) for name, start in layout.offsets.items())
    assert ends[0][0] >= Header.size
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    assert ends[-1][1] <= layout.size
    assert all(start % LINE == 0 for start, _ in ends)


@settings(deadline=None, max_examples=25)
@given(any_space, any_space, st.integers(1, 5), st.integers(0, 1 << 30))
def test_any_space_crosses_bit_for_bit(observation: Any, action: Any, num_envs: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    seen: list[Any] = []

    def echo(server: ChannelServer) -> None:
        while server.await_request()[0] != CLOSE:
            seen.append(server.actions())
            server.batch.observations[:] = values
            server.answer()

    values, chosen = (draw(random, spec, num_envs) for spec in (observation, action))
    with served(echo, observation, action, num_envs) as (client, _):
        batch = client.step(chosen)
    assert batch.observations.dtype == observation.dtype and batch.observations.tobytes() == values.tobytes()
    assert seen[0].tobytes() == chosen.tobytes()


def draw(random: np.random.Generator, spec: spaces.SpaceSpec, num_envs: int) -> Any:
    low, high = spec.limits()
    mask = random.integers(0, 2, (num_envs, *spec.shape)).astype(bool)
    return np.where(mask, low, high).astype(spec.dtype)


def test_a_block_of_the_wrong_size_or_without_seals_is_refused() -> None:
    right = create_channel(BOX, CHOICE, 4)
    size = memory.require_seals(right.memory, memory.FIXED_SIZE)
    unsealed = os.memfd_create("x")
    os.ftruncate(unsealed, size)
    for wrong in (memory.shared_block(size - 1), memory.shared_block(size + 4096), unsealed):
        inputs = {**right.inputs(), "channel_memory": wrong}
        with pytest.raises(memory.NotSealedError):
            ChannelClient(ChannelServer(Job("x", parameters(BOX, CHOICE, 4), inputs, NO_CONNECTION))._block)
        os.close(wrong)
    right.close()


@pytest.mark.parametrize("num_envs", [0, -1, 1 << 20])
def test_an_impossible_number_of_environments_is_refused(num_envs: int) -> None:
    with pytest.raises(ValueError, match="num_envs"):
        create_channel(BOX, CHOICE, num_envs)


def test_a_channel_that_would_be_enormous_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes"):
        create_channel(spaces.bounded("Box", (4096, 4096), "float64", 0, 1), CHOICE, 64)


def test_the_simulators_failure_reaches_the_learner() -> None:
    def fail(server: ChannelServer) -> None:
        server.await_request()
        server.fail("IndexError: the 17th\x1b[31m drawer\nis empty" + "x" * 5000)

    with served(fail) as (client, _), pytest.raises(SimulatorError) as caught:
        client.reset()
    assert caught.value.code == "simulator.failed"
    assert "IndexError: the 17th [31m drawer is empty" in caught.value.message
    assert len(caught.value.message) < 1100


def test_a_learner_that_waits_is_told_that_the_simulator_is_gone() -> None:
    def die(server: ChannelServer) -> None:
        server.await_request()
        descriptors[0].break_off("it ran out of memory")

    descriptors: list[Any] = []
    with served(die, deadline=30) as (client, ours):
        descriptors.append(ours)
        with pytest.raises(SimulatorError) as caught:
            client.reset()
        assert caught.value.code == "simulator.gone"
        assert "it ran out of memory" in caught.value.message
        with pytest.raises(SimulatorError):
            client.step([0, 0, 0, 0])


def test_a_server_refuses_actions_outside_the_space() -> None:
    descriptors = create_channel(BOX, CHOICE, 2)
    server = ChannelServer(job(descriptors, BOX, CHOICE, 2))
    server._actions[:] = [1, 4]
    with pytest.raises(ValueError, match="action space"):
        server.actions()
    descriptors.close()
