"""The simulator channel: N environments in lockstep with a learner in another fence, over one block of memory.

The keeper makes one sealed memory file of fixed size and two eventfds, and hands them to both fences. The learner
writes actions, adds one to the request number and wakes the simulator; the simulator steps, writes observations,
rewards and ends, adds one to the response number and wakes the learner. Only the eventfds order the two sides.

Whatever the other side wrote is taken for hostile: each value is copied out once, then checked, then used. A wait
is bounded by a watchdog that interrupts it, because either side could fill, drain or reconfigure an eventfd that
both hold. Autoreset is Gymnasium's SAME_STEP: where an episode ended, `observations` holds the first of the next
one and `final_observations` the last of the old one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ringfence_workload.task import Job, TaskError
from ringfence_workload.wire import memory
from ringfence_workload.wire.spaces import Checker, SpaceSpec, from_json, to_json
from ringfence_workload.wire.watchdog import WaitEndedError, Watchdog

MAX_ENVS = 1 << 16
MAX_BLOCK = 1 << 31
DEADLINE = 30.0
TEXT_BYTES = 1024
LINE = 64
STEP, RESET, CLOSE = 1, 2, 3
ONE = struct.pack("=Q", 1)
Array = npt.NDArray[Any]


class SimulatorError(TaskError):
    """The simulator is gone, failed or broke the protocol: `simulator.gone`, `.failed`, `.misbehaved`."""


class StepBatch(NamedTuple):
    """One step of N environments; every array is the receiver's own copy.

    observations (N, *shape); rewards float64 (N,); terminated, truncated bool (N,); final_observations
    (N, *shape), meaningful in the rows where an episode ended.
    """

    observations: Array
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: Array


class Batch(NamedTuple):
    """Where a host writes one step: shapes and dtypes as in StepBatch, the two ends as uint8."""

    observations: Array
    finals: Array
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.uint8]
    truncated: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, observation: SpaceSpec, num_envs: int) -> Batch:
        """Return a batch in ordinary memory."""
        shape, ends = (num_envs, *observation.shape), np.zeros((2, num_envs), np.uint8)
        return cls(np.zeros(shape, observation.dtype), np.zeros(shape, observation.dtype), np.zeros(num_envs), *ends)


@dataclass(frozen=True)
class ChannelDescriptors:
    """The keeper's end: what it hands to both fences. Close it when both have it."""

    memory: int
    request: int
    response: int

    def inputs(self) -> dict[str, int]:
        """Return them under the names that both tasks expect."""
        return {"channel_memory": self.memory, "channel_request": self.request, "channel_response": self.response}

    def break_off(self, reason: str) -> None:
        """Tell the learner that no answer will come any more, and why. Never blocks."""
        with mmap.mmap(self.memory, memory.require_seals(self.memory, memory.FIXED_SIZE)) as block:
            header = Header(block)
            header.set_text(header.broken_text, reason)
            header.broken[0] = 1
            header.release()

    def close(self) -> None:
        """Close the keeper's copies."""
        for descriptor in (self.memory, self.request, self.response):
            os.close(descriptor)


def parameters(observation: SpaceSpec, action: SpaceSpec, num_envs: int) -> dict[str, Any]:
    """Return the parameters that both tasks of a channel need."""
    return {"num_envs": num_envs, "observation_space": to_json(observation), "action_space": to_json(action)}


def create_channel(observation: SpaceSpec, action: SpaceSpec, num_envs: int) -> ChannelDescriptors:
    """Make the memory and the eventfds of one channel.

    Raises:
        ValueError: num_envs is out of range, or the block would be over MAX_BLOCK bytes.
    """
    size = Layout.of(observation, action, num_envs).size
    return ChannelDescriptors(memory.shared_block(size), os.eventfd(0, os.EFD_CLOEXEC), os.eventfd(0, os.EFD_CLOEXEC))


class Header:
    """The first page: numbers that order the two sides, a command, a failure. One cache line per writer."""

    size = mmap.PAGESIZE

    def __init__(self, block: mmap.mmap) -> None:
        self.request = np.frombuffer(block, np.uint64, 1, 0)
        self.command = np.frombuffer(block, np.int64, 2, 8)  # which, and the seed (negative: none)
        self.response = np.frombuffer(block, np.uint64, 1, LINE)
        self.failed = np.frombuffer(block, np.uint64, 1, LINE + 8)
        self.broken = np.frombuffer(block, np.uint64, 1, 2 * LINE)
        self.failed_text = np.frombuffer(block, np.uint8, TEXT_BYTES, 4 * LINE)
        self.broken_text = np.frombuffer(block, np.uint8, TEXT_BYTES, 4 * LINE + TEXT_BYTES)

    @staticmethod
    def set_text(place: npt.NDArray[np.uint8], text: str) -> None:
        """Write `text`, cut to fit, with zeros behind it."""
        data = text.encode("utf-8", "replace")[:TEXT_BYTES]
        place[:] = np.frombuffer(data.ljust(TEXT_BYTES, b"\0"), np.uint8)

    @staticmethod
    def text(place: npt.NDArray[np.uint8]) -> str:
        """Read what the other side wrote: at most TEXT_BYTES, printable only."""
        text = place.tobytes().split(b"\0")[0].decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else " " for letter in text)

    def release(self) -> None:
        """Let go of the mapping, so that it can be closed."""
        for name in ("request", "command", "response", "failed", "broken", "failed_text", "broken_text"):
            delattr(self, name)


@dataclass(frozen=True)
class Layout:
    """Where each array lies in the block, in bytes from its start; the same arithmetic on both sides."""

    observation: SpaceSpec
    action: SpaceSpec
    num_envs: int
    offsets: Mapping[str, int]
    size: int

    @classmethod
    def of(cls, observation: SpaceSpec, action: SpaceSpec, num_envs: int) -> Layout:
        """Compute the layout. Raises ValueError where it would be out of range."""
        if not 1 <= num_envs <= MAX_ENVS:
            raise ValueError(f"num_envs must be from 1 to {MAX_ENVS}, not {num_envs}")
        offsets, end = {}, Header.size
        for name, width in (("actions", action.bytes), ("observations", observation.bytes),
                            ("finals", observation.bytes), ("rewards", 8), ("terminated", 1), ("truncated", 1)):
            offsets[name] = end
            end += -(-width * num_envs // LINE) * LINE
        if end > MAX_BLOCK:
            raise ValueError(f"the channel would take {end} bytes, at most {MAX_BLOCK} are allowed")
        return cls(observation, action, num_envs, offsets, end)

    def arrays(self, block: mmap.mmap) -> dict[str, Array]:
        """Map every array of the block."""
        kinds: dict[str, tuple[str, tuple[int, ...]]] = {
            "actions": (self.action.dtype, self.action.shape),
            "observations": (self.observation.dtype, self.observation.shape),
            "finals": (self.observation.dtype, self.observation.shape),
            "rewards": ("float64", ()), "terminated": ("uint8", ()), "truncated": ("uint8", ())}
        return {name: self._array(block, name, dtype, shape) for name, (dtype, shape) in kinds.items()}

    def _array(self, block: mmap.mmap, name: str, dtype: str, shape: tuple[int, ...]) -> Array:
        whole = (self.num_envs, *shape)
        flat = np.frombuffer(block, np.dtype(dtype), int(np.prod(whole)), self.offsets[name])
        return flat.reshape(whole)


class Block:
    """One fence's mapping of a channel."""

    def __init__(self, job: Job) -> None:
        self.layout = Layout.of(from_json(job.parameters["observation_space"]),
                                from_json(job.parameters["action_space"]), int(job.parameters["num_envs"]))
        descriptor = job.inputs["channel_memory"]
        size = memory.require_seals(descriptor, memory.FIXED_SIZE)
        if size != self.layout.size:
            raise memory.NotSealedError(f"the channel has {size} bytes, its spaces need {self.layout.size}")
        self.request_fd, self.response_fd = job.inputs["channel_request"], job.inputs["channel_response"]
        self.mapping = mmap.mmap(descriptor, size)
        self.header = Header(self.mapping)
        self.arrays = self.layout.arrays(self.mapping)


class Spinner:
    """Waits a bounded moment in user space before a wait in the kernel, as long as that pays.

    Waking another CPU costs more than a short spin; a spin on a busy machine, or on the peer's own CPU, only
    takes time from the peer. So the budget is zero where one CPU is all there is, and a spin that ends in vain
    switches spinning off for ever longer stretches.
    """

    def __init__(self, microseconds: float | None) -> None:
        free = len(os.sched_getaffinity(0)) > 1
        self._budget = (50.0 if microseconds is None else microseconds) * 1e-6 if free else 0.0
        self._skip, self._penalty = 0, 1

    def spin(self, number: npt.NDArray[np.uint64], expected: int) -> None:
        """Return once `number` holds `expected`, or the budget is used up."""
        if not self._budget:
            return
        if self._skip:
            self._skip -= 1
            return
        end = time.perf_counter() + self._budget
        while time.perf_counter() < end:
            if number[0] == expected:
                self._penalty = 1
                return
        self._penalty = min(self._penalty * 2, 4096)
        self._skip = self._penalty


class ChannelClient:
    """The learner's end. One thread at a time."""

    def __init__(self, block: Block, *, deadline: float = DEADLINE, spin_microseconds: float | None = None) -> None:
        layout = block.layout
        self.num_envs, self.observation, self.action = layout.num_envs, layout.observation, layout.action
        self._block, self._header, self._arrays = block, block.header, block.arrays
        self._observations, self._rewards = block.arrays["observations"], block.arrays["rewards"]
        self._terminated, self._truncated = block.arrays["terminated"], block.arrays["truncated"]
        self._actions, self._finals = block.arrays["actions"], block.arrays["finals"]
        self._in_space, self._action_in_space = Checker(layout.observation), Checker(layout.action)
        self._spinner = Spinner(spin_microseconds)
        self._number = 0
        self._watchdog = Watchdog(deadline, lambda: bool(self._header.broken[0]))

    @classmethod
    def from_job(cls, job: Job, *, deadline: float = DEADLINE) -> ChannelClient:
        """Map the channel that the keeper handed to this task.

        Raises:
            NotSealedError: the memory is not what its spaces need.
        """
        return cls(Block(job), deadline=deadline, spin_microseconds=job.parameters.get("spin_microseconds"))

    def reset(self, seed: int | None = None) -> Array:
        """Start all episodes afresh, environment i from `seed + i`; return observations (N, *shape).

        Raises:
            SimulatorError: it is gone, failed or broke the protocol.
        """
        self._ask(RESET, -1 if seed is None else seed)
        return self._checked(self._observations)

    def step(self, actions: npt.ArrayLike) -> StepBatch:
        """Take one action (N, *action shape) in each environment.

        Raises:
            SimulatorError: as `reset`.
            ValueError: an action is not in the action space.
        """
        values = np.asarray(actions, dtype=self._actions.dtype)
        if values.shape != self._actions.shape or not self._action_in_space.holds(values):
            raise ValueError(f"the actions must be {self._actions.shape} members of {to_json(self.action)}")
        self._actions[...] = values
        self._ask(STEP)
        observations = self._checked(self._observations)
        rewards = self._rewards.copy()
        if not np.isfinite(rewards).all():
            raise SimulatorError("simulator.misbehaved", "The simulator returned a reward that is not finite.")
        terminated, truncated = self._terminated != 0, self._truncated != 0
        return StepBatch(observations, rewards, terminated, truncated, self._last(terminated | truncated, observations))

    def close(self) -> None:
        """Tell the simulator that it may end; fails never, and waits no longer than for a step."""
        self._header.command[0] = CLOSE
        self._header.request[0] = self._number + 1
        with contextlib.suppress(WaitEndedError, BlockingIOError), self._watchdog:
            os.write(self._block.request_fd, ONE)
        self._watchdog.stop()

    def _last(self, ended: npt.NDArray[np.bool_], observations: Array) -> Array:
        if not ended.any():
            return observations
        finals = self._finals.copy()
        if not self._in_space.holds(finals[ended]):
            raise SimulatorError("simulator.misbehaved", "The simulator returned a final observation that is not "
                                 "finite, or not in its observation space.")
        return finals

    def _checked(self, shared: Array) -> Array:
        values = shared.copy()
        if not self._in_space.holds(values):
            raise SimulatorError("simulator.misbehaved", "The simulator returned an observation that is not finite, "
                                 "or not in its observation space.")
        return values

    def _ask(self, command: int, seed: int = -1) -> None:
        header = self._header
        self._number += 1
        header.command[0], header.command[1] = command, seed
        header.request[0] = self._number
        try:
            with self._watchdog:
                os.write(self._block.request_fd, ONE)
                self._spinner.spin(header.response, self._number)
                os.read(self._block.response_fd, 8)
        except WaitEndedError as ended:
            raise self._gone(ended) from None
        except BlockingIOError:
            raise SimulatorError("simulator.misbehaved", "The simulator reconfigured the wake-up.") from None
        if header.failed[0]:
            raise SimulatorError("simulator.failed", f"The simulator failed: {header.text(header.failed_text)}")
        if header.response[0] != self._number:
            raise SimulatorError("simulator.misbehaved", "The simulator woke the learner without an answer.")

    def _gone(self, ended: WaitEndedError) -> SimulatorError:
        if self._header.broken[0]:
            return SimulatorError("simulator.gone", f"The simulator is gone: {Header.text(self._header.broken_text)}")
        return SimulatorError("simulator.gone", f"The simulator did not answer within {ended.seconds:.0f} s.",
                              fix="Make a step cheaper, or look at the simulator's log for where it hangs.")


class ChannelServer:
    """The simulator's end: `await_request`, fill `batch`, then `answer`."""

    def __init__(self, job: Job) -> None:
        block = Block(job)
        self.layout, self._block, self._header = block.layout, block, block.header
        self.batch = Batch(*(block.arrays[name] for name in Batch._fields))
        self._actions, self._check = block.arrays["actions"], Checker(block.layout.action)
        self._spinner = Spinner(job.parameters.get("spin_microseconds"))
        self._number = 0

    def await_request(self) -> tuple[int, int]:
        """Wait for the learner; return (command, seed)."""
        self._spinner.spin(self._header.request, self._number + 1)
        os.read(self._block.request_fd, 8)
        self._number += 1
        command, seed = self._header.command.tolist()
        return command, seed

    def actions(self) -> Array:
        """Return a checked copy of the actions. Raises ValueError: one is not in the space."""
        values = self._actions.copy()
        if not self._check.holds(values):
            raise ValueError("the learner sent an action that is not in the action space")
        return values

    def answer(self) -> None:
        """Hand the batch to the learner."""
        self._header.response[0] = self._number
        os.write(self._block.response_fd, ONE)

    def fail(self, reason: str) -> None:
        """Tell the learner that no batch will come, and why."""
        Header.set_text(self._header.failed_text, reason)
        self._header.failed[0] = 1
        self.answer()
