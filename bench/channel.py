"""Claims `channel.*`: a fenced simulator against SB3's unfenced SubprocVecEnv and against no process border at all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "src")]

from bench.harness import Claim, Variant, run  # noqa: E402
from ringfence.sandbox.lockstep import Simulated, serving  # noqa: E402
from ringfence.sandbox.sandbox import FenceSpec  # noqa: E402
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox  # noqa: E402
from ringfence.sandbox.tasks import run_task  # noqa: E402
from ringfence_workload.task import Job  # noqa: E402
from ringfence_workload.wire.channel import ChannelClient, parameters  # noqa: E402
from ringfence_workload.wire.spaces import from_json  # noqa: E402
from tests.bundles import CARTPOLE, bundle  # noqa: E402

ENVIRONMENTS = CHECKOUT / ".venv/envs"
# Learner and simulator wait for each other in turn: one CPU is all they can use.
CPU = frozenset({max(os.sched_getaffinity(0))})
PEERS = 8
CLAIMS = [
    Claim("channel.cartpole.subproc", "unmodified CartPole, 8 environments, fenced, against SubprocVecEnv 8 unfenced",
          "fenced 8", "SubprocVecEnv 8", "higher", 8.5),
    Claim("channel.cartpole.single", "the same against one environment in process", "fenced 8", "in process",
          "higher", 0.65),
    Claim("channel.cartpole_batched.subproc", "batched CartPole, 64 environments, fenced, against SubprocVecEnv 8 "
          "unfenced", "fenced batched 64", "SubprocVecEnv 8", "higher", 60),
    Claim("channel.cartpole_batched.single", "the same against one environment in process", "fenced batched 64",
          "in process", "higher", 5),
]


class Peer:
    """The peers' process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [ENVIRONMENTS / "sb3/bin/python", CHECKOUT / "bench/peers/channel.py", str(PEERS)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def sample(self, kind: str, steps: int, envs: int) -> tuple[float, float]:
        """Let it take `steps` steps; return (environment steps, seconds)."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"kind": kind, "steps": steps}) + "\n")
        self._process.stdin.flush()
        return steps * envs, json.loads(self._process.stdout.readline())["seconds"]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def fenced(sandbox: BubblewrapSandbox, project: int, num_envs: int, stack: contextlib.ExitStack) -> ChannelClient:
    """Serve a bundle in a fence of its own, on the learner's CPU."""
    values = run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project}).values
    simulated = Simulated(project, from_json(values["observation_space"]), from_json(values["action_space"]), num_envs,
                          FenceSpec("simulator", cpus=CPU))
    channel = stack.enter_context(serving(sandbox, simulated))
    nothing: Any = None
    return ChannelClient.from_job(Job("bench", parameters(simulated.observation, simulated.action, num_envs),
                                      channel.inputs(), nothing))


def sample(client: ChannelClient, steps: int) -> tuple[float, float]:
    """Take `steps` random steps in all environments; return (environment steps, seconds)."""
    actions = np.random.default_rng(0).integers(0, 2, (steps, client.num_envs))
    client.reset(seed=0)
    started = time.perf_counter()
    for action in actions:
        client.step(action)
    return steps * client.num_envs, time.perf_counter() - started


def main() -> int:
    """Measure every variant in turn."""
    peer = Peer()
    os.sched_setaffinity(0, CPU)
    with contextlib.ExitStack() as stack:
        stack.callback(peer.close)
        sandbox = BubblewrapSandbox(ENVIRONMENTS, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(sandbox.close)
        plain = fenced(sandbox, bundle(CARTPOLE), 8, stack)
        code = (CHECKOUT / "bench/simulators/cartpole_batched.py").read_text()
        many = fenced(sandbox, bundle(code, vector=True), 64, stack)
        return run("channel", [
            Variant("in process", "steps/s", lambda: peer.sample("single", 50_000, 1)),
            Variant("SubprocVecEnv 8", "steps/s", lambda: peer.sample("subproc", 1_500, PEERS)),
            Variant("fenced 8", "steps/s", lambda: sample(plain, 8_000)),
            Variant("fenced batched 64", "steps/s", lambda: sample(many, 10_000)),
        ], CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
