"""A learner's end of the channel against simulators that lie, stall, and reach into what both share."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ringfence_workload.wire import spaces
from ringfence_workload.wire.channel import CLOSE, ChannelClient, ChannelServer, Layout, SimulatorError
from tests.channels import BOX, CHOICE, served
from tests.soak import times

SEAL_FUTURE_WRITE = 0x10  # <linux/fcntl.h>; Python 3.11 does not name it
Reply = Callable[[ChannelServer], None]


def answering(reply: Reply) -> Reply:
    """A simulator that fills every answer by `reply`."""
    def serve(server: ChannelServer) -> None:
        while server.await_request()[0] != CLOSE:
            reply(server)
    return serve


def wrong(field: str, value: float) -> Reply:
    def reply(server: ChannelServer) -> None:
        getattr(server.batch, field).flat[-1] = value
        server.batch.terminated[:] = field == "finals"
        server.answer()
    return reply


def never(server: ChannelServer) -> None:
    threading.Event().wait(3)


def wake_without_an_answer(server: ChannelServer) -> None:
    os.eventfd_write(server._block.response_fd, 1)


def answer_for_another_step(server: ChannelServer) -> None:
    server._number += 5
    server.answer()


@pytest.mark.parametrize(("reply", "code"), [
    (wrong("observations", np.nan), "simulator.misbehaved"), (wrong("observations", np.inf), "simulator.misbehaved"),
    (wrong("observations", 10.5), "simulator.misbehaved"), (wrong("rewards", np.nan), "simulator.misbehaved"),
    (wrong("rewards", -np.inf), "simulator.misbehaved"), (wrong("finals", -11.0), "simulator.misbehaved"),
    (wake_without_an_answer, "simulator.misbehaved"), (answer_for_another_step, "simulator.misbehaved"),
    (never, "simulator.gone"),
], ids=["nan", "infinite", "out_of_space", "reward_nan", "reward_infinite", "final", "no_answer", "wrong_answer",
        "never"])
def test_a_simulator_that_lies_is_cut_off(reply: Reply, code: str) -> None:
    with served(answering(reply), deadline=0.3) as (client, _), pytest.raises(SimulatorError) as caught:
        client.step([0, 0, 0, 0])
    assert caught.value.code == code


def drain(server: ChannelServer) -> None:
    """Take every wake-up away from the learner."""
    os.set_blocking(server._block.response_fd, False)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            os.eventfd_read(server._block.response_fd)
        except BlockingIOError:
            time.sleep(0)
    os.set_blocking(server._block.response_fd, True)


def fill_requests(server: ChannelServer) -> None:
    """Fill the learner's own wake-up to the brim, so that its next write blocks."""
    server._header.response[0] = server._number
    os.eventfd_write(server._block.request_fd, 2**64 - 2)
    os.eventfd_write(server._block.response_fd, 1)
    threading.Event().wait(1.5)


def make_reads_fail(server: ChannelServer) -> None:
    os.set_blocking(server._block.response_fd, False)
    threading.Event().wait(1.0)


def step_three_times(client: ChannelClient) -> None:
    for _ in range(3):
        client.step([0, 0, 0, 0])


@pytest.mark.parametrize("trick", [drain, fill_requests, make_reads_fail])
def test_no_trick_with_the_eventfds_holds_a_learner(trick: Reply) -> None:
    started = time.monotonic()
    with served(answering(trick), deadline=0.4) as (client, _), pytest.raises(SimulatorError):
        step_three_times(client)
    assert time.monotonic() - started < 8


def test_the_block_can_be_neither_shrunk_nor_resealed_nor_grown() -> None:
    with served(answering(lambda server: server.answer())) as (client, descriptors):
        size = os.fstat(descriptors.memory).st_size
        for attack in (lambda: os.ftruncate(descriptors.memory, 0), lambda: os.ftruncate(descriptors.memory, size * 2),
                       lambda: os.truncate(f"/proc/self/fd/{descriptors.memory}", 0),
                       lambda: fcntl.fcntl(descriptors.memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
                       lambda: fcntl.fcntl(descriptors.memory, fcntl.F_ADD_SEALS, SEAL_FUTURE_WRITE)):
            with pytest.raises(PermissionError):
                attack()
        # Holes can be punched into a sealed file; they read as zeros and never raise SIGBUS.
        assert client.step([0, 0, 0, 0]).observations.tolist() == [[0.0] * 3] * 4


def test_values_that_change_after_the_check_change_nothing() -> None:
    """A writer flips one observation between a good and a bad value all the time: what is returned is good."""
    stop = threading.Event()

    def flip(server: ChannelServer) -> None:
        observations = server.batch.observations
        while not stop.is_set():
            observations[0, 0] = np.nan
            observations[0, 0] = 1.0

    def serve(server: ChannelServer) -> None:
        threading.Thread(target=flip, args=(server,), daemon=True).start()
        answering(lambda s: s.answer())(server)

    returned, refused = [], set()
    with served(serve) as (client, _):
        for _ in range(2000):
            try:
                returned.append(client.step([0, 0, 0, 0]).observations)
            except SimulatorError as error:
                refused.add(error.code)
        stop.set()
    assert returned and np.isfinite(returned).all()
    assert refused <= {"simulator.misbehaved"}


def mend(view: mmap.mmap, layout: Layout) -> None:
    """Make what was mutated an honest block again, but for the numbers that order the two sides."""
    view[72:256] = bytes(184)
    for field in ("observations", "finals", "rewards"):
        start = layout.offsets[field]
        view[start:start + 64] = bytes(64)


@pytest.mark.soak
@pytest.mark.parametrize("seed", times(4, 200))
def test_a_mutated_block_is_refused_or_holds(seed: int) -> None:
    """Random bytes anywhere in the block, 500 times: an answer in the space, or an error; never a crash or a hang."""
    random = np.random.default_rng(seed)
    observation = spaces.bounded("Box", (2, 2), "float16", -5.0, 5.0)
    layout = Layout.of(observation, CHOICE, 3)

    def mutate(server: ChannelServer) -> None:
        block: Any = server._block.mapping
        for _ in range(int(random.integers(1, 40))):
            place = int(random.integers(192, layout.size))
            block[place:place + 1] = bytes([int(random.integers(256))])
        server.answer()

    codes, answers = set(), 0
    with (served(answering(mutate), observation, CHOICE, 3, deadline=5.0) as (client, descriptors),
          mmap.mmap(descriptors.memory, layout.size) as view):
        for _ in range(500):
            try:
                batch = client.step([0, 1, 2])
            except SimulatorError as error:
                codes.add(error.code)
                mend(view, layout)
                continue
            answers += 1
            assert np.isfinite(batch.observations).all() and (np.abs(batch.observations) <= 5).all()
            assert np.isfinite(batch.rewards).all()
    assert answers > 50
    assert codes <= {"simulator.misbehaved", "simulator.failed"}


def test_an_enormous_wake_up_is_no_answer() -> None:
    def shout(server: ChannelServer) -> None:
        os.write(server._block.response_fd, struct.pack("=Q", 2**64 - 2))

    with served(answering(shout), BOX, CHOICE, deadline=1.0) as (client, _), pytest.raises(SimulatorError):
        client.step([0, 0, 0, 0])
