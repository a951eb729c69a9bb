"""Fenced rollouts are those of Gymnasium's own vector environment, bit for bit."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ringfence.errors import WorkloadError
from ringfence.sandbox.lockstep import Simulated, serving
from ringfence.sandbox.sandbox import FenceSpec
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.sandbox.tasks import run_task
from ringfence_workload.task import Job
from ringfence_workload.wire import memory
from ringfence_workload.wire.channel import ChannelClient, SimulatorError, parameters
from ringfence_workload.wire.spaces import from_json
from tests import fences
from tests.bundles import CARTPOLE, CARTPOLE_BATCHED, MANIFEST, bundle, packed

STEPS, NUM_ENVS, SEED = 300, 3, 11
PENDULUM = "import gymnasium\ndef make():\n    return gymnasium.make('Pendulum-v1', max_episode_steps=50)\n"
FROZEN_LAKE = "import gymnasium\ndef make():\n    return gymnasium.make('FrozenLake-v1')\n"
# Gymnasium's own rollout: what crosses the fence must equal it.
IN_PROCESS = """
import sys, numpy as np, gymnasium
{code}
env = gymnasium.vector.SyncVectorEnv([make] * {num_envs}, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
actions = np.load(sys.argv[1])
rows = [env.reset(seed={seed})[0]]
rewards, terminated, truncated, finals = [], [], [], []
for action in actions:
    o, r, te, tr, info = env.step(action)
    rows.append(o.copy()); rewards.append(r); terminated.append(te); truncated.append(tr)
    ended = te | tr
    finals.append(np.array([info['final_obs'][i] if ended[i] else o[i] for i in range({num_envs})]))
np.savez(sys.argv[2], observations=np.array(rows), rewards=np.array(rewards), terminated=np.array(terminated),
         truncated=np.array(truncated), finals=np.array(finals))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with fences.sandbox(tmp_path_factory.mktemp("state")) as opened:
        yield opened


def admitted(sandbox: BubblewrapSandbox, code: str, vector: bool = False) -> Simulated:
    """Inspect a bundle, as the platform does, and return what it takes to serve it."""
    project = bundle(code, vector=vector)
    values = run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project}).values
    return Simulated(project, from_json(values["observation_space"]), from_json(values["action_space"]), NUM_ENVS,
                     FenceSpec("simulator"))


def client_of(simulated: Simulated, channel: Any, **options: Any) -> ChannelClient:
    known = parameters(simulated.observation, simulated.action, simulated.num_envs)
    nothing: Any = None
    return ChannelClient.from_job(Job("tested", known, channel.inputs(), nothing), **options)


def random_actions(simulated: Simulated) -> np.ndarray:
    low, high = simulated.action.limits()
    random, shape = np.random.default_rng(0), (STEPS, NUM_ENVS, *simulated.action.shape)
    if low.dtype.kind == "f":
        return random.uniform(low, high, shape).astype(low.dtype)
    return random.integers(low, high, shape, endpoint=True)


@pytest.mark.parametrize("code", [CARTPOLE, PENDULUM, FROZEN_LAKE], ids=["cartpole", "pendulum", "frozen_lake"])
def test_a_fenced_rollout_is_gymnasiums_own(sandbox: BubblewrapSandbox, code: str, tmp_path: Path) -> None:
    simulated = admitted(sandbox, code)
    actions = random_actions(simulated)
    np.save(tmp_path / "actions.npy", actions)
    with serving(sandbox, simulated) as channel:
        client = client_of(simulated, channel)
        observations = [client.reset(seed=SEED)]
        steps = [client.step(action) for action in actions]
        client.close()
    os.close(simulated.bundle)
    subprocess.run([fences.ENVIRONMENTS / "base/bin/python", "-c", IN_PROCESS.format(
        code=code, num_envs=NUM_ENVS, seed=SEED), tmp_path / "actions.npy", tmp_path / "own.npz"], check=True)
    with np.load(tmp_path / "own.npz") as own:
        seen = np.array([*observations, *(step.observations for step in steps)])
        assert seen.tobytes() == own["observations"].tobytes()
        assert np.array([step.rewards for step in steps]).tobytes() == own["rewards"].tobytes()
        assert (np.array([step.terminated for step in steps]) == own["terminated"]).all()
        assert (np.array([step.truncated for step in steps]) == own["truncated"]).all()
        ended = own["terminated"] | own["truncated"]
        assert ended.any()
        assert (np.array([step.final_observations for step in steps])[ended] == own["finals"][ended]).all()


def test_a_batched_simulator_gives_the_same_rollout(sandbox: BubblewrapSandbox) -> None:
    rollouts = []
    for code, vector in ((CARTPOLE, False), (CARTPOLE_BATCHED, True)):
        simulated = admitted(sandbox, code, vector)
        with serving(sandbox, simulated) as channel:
            client = client_of(simulated, channel)
            rollouts.append([client.reset(SEED), *(client.step(a).observations for a in random_actions(simulated))])
        os.close(simulated.bundle)
    assert np.array(rollouts[0]).tobytes() == np.array(rollouts[1]).tobytes()


@pytest.mark.parametrize(("code", "code_of_error"), [
    ("import gymnasium\ndef make():\n    raise RuntimeError('no')", "simulator.failed"),
    ("x = 1", "simulator.entry_point_missing"), ("make = 1", "simulator.entry_point_missing"),
    ("import no_such_module", "simulator.entry_point_missing"),
    ("import gymnasium\nclass E(gymnasium.Env):\n    observation_space = gymnasium.spaces.Text(5)\n"
     "    action_space = gymnasium.spaces.Discrete(2)\nmake = E", "simulator.space_unsupported"),
    ("import gymnasium, random\nclass E(gymnasium.Env):\n    observation_space = gymnasium.spaces.Box(0, 1, ())\n"
     "    action_space = gymnasium.spaces.Discrete(2)\n    def reset(self, seed=None): return random.random(), {}\n"
     "    def step(self, a): return random.random(), 0.0, False, False, {}\nmake = E", "simulator.not_reproducible"),
    ("import gymnasium\nclass E(gymnasium.Env):\n    observation_space = gymnasium.spaces.Box(0, 1, ())\n"
     "    action_space = gymnasium.spaces.Discrete(2)\n    def reset(self, seed=None): return 0.0, {}\n"
     "    def step(self, a): return 2.0, 0.0, False, False, {}\nmake = E", "simulator.out_of_space"),
], ids=["raises", "no_factory", "no_function", "no_module", "space", "unseeded", "out_of_space"])
def test_a_bad_simulator_is_refused_with_the_reason(sandbox: BubblewrapSandbox, code: str, code_of_error: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        admitted(sandbox, code)
    assert caught.value.code == code_of_error
    assert caught.value.fix


def test_a_batched_simulator_that_resets_late_is_refused(sandbox: BubblewrapSandbox) -> None:
    late = ("import gymnasium\ndef make(n):\n"
            "    return gymnasium.make_vec('CartPole-v1', n, vectorization_mode='sync')\n")
    with pytest.raises(WorkloadError) as caught:
        admitted(sandbox, late, vector=True)
    assert caught.value.code == "simulator.autoreset_unsupported"


@pytest.mark.parametrize("member", ["../outside.py", "/tmp/outside.py", "folder/../../outside.py"])
def test_a_bundle_that_would_write_elsewhere_is_refused(sandbox: BubblewrapSandbox, member: str) -> None:
    manifest = MANIFEST.format(name="x", entry_point="project:make", vector="false")
    project = memory.sealed(packed({"simulator.yaml": manifest, member: "x = 1", "project.py": CARTPOLE}))
    with pytest.raises(WorkloadError) as caught:
        run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project})
    os.close(project)
    assert caught.value.code == "simulator.bundle_broken"


def test_a_simulator_that_dies_in_a_step_ends_the_wait_with_its_reason(sandbox: BubblewrapSandbox) -> None:
    simulated = admitted(sandbox, CARTPOLE)
    os.close(simulated.bundle)
    dying = bundle(CARTPOLE + "import os\nclass Dying(gymnasium.Wrapper):\n    def step(self, a): os._exit(9)\n"
                   "old = make\ndef make(): return Dying(old())\n")
    with serving(sandbox, Simulated(dying, simulated.observation, simulated.action, 2, FenceSpec("dying"))) as channel:
        known = Simulated(dying, simulated.observation, simulated.action, 2, FenceSpec("dying"))
        client = client_of(known, channel, deadline=20)
        client.reset(1)
        with pytest.raises(SimulatorError) as caught:
            client.step([0, 0])
    os.close(dying)
    assert caught.value.code == "simulator.gone"
    assert "it ended with status 9" in caught.value.message
