"""From a CSV to a served agent on real parts, in small: a corridor to walk, a log of people walking it at random."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.jobs.domain import Handler, JobState
from ringfence.registry.service import RegistryService
from ringfence.serving.service import EndpointService
from ringfence.simulators.service import SimulatorService
from ringfence.training.domain import RunView
from ringfence.training.service import TrainingService
from ringfence.training.store import runs_using
from ringfence.trust.domain import Actor
from ringfence.worker.worker import Worker
from tests.bundles import packed
from tests.data_platform import OFFICER, SCIENTIST, WORKER, DataPlatform, actor
from tests.fences import ENVIRONMENTS

MLOPS, CALLER = actor("mia", "mlops_engineer"), actor("bedside", "endpoint_caller")
STATES, ACTIONS = 5, 2

CORRIDOR = '''
import gymnasium
class Corridor(gymnasium.Env):
    """Walk from 1: the exit at 4 pays, the hole at 0 does not; one step in ten goes astray."""
    def __init__(self):
        self.observation_space = gymnasium.spaces.Discrete(5)
        self.action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 1
        return self.place, {}
    def step(self, action):
        ahead = bool(action) != (self.np_random.random() < 0.1)
        self.place += 1 if ahead else -1
        return self.place, float(self.place == 4), self.place in (0, 4), False, {}
def make():
    return Corridor()
'''
MANIFEST = """kind: Simulator
name: corridor
version: {version}
entry_point: "corridor:make"
baselines: {{clinicians: baselines/clinicians}}
"""
DECLARATION = """
kind: Dataset
name: walks
purpose: walking
residency: on-premises
subject: person
trajectory: {episode: walk, step: step}
anonymity: {k: 5, quasi_identifiers: [region], max_suppressed_share: 0.2}
columns:
  person: {action: pseudonymise, as: subject}
  walk: {action: pseudonymise, as: walk}
  region: keep
  step: {action: keep, type: integer}
  state: {action: keep, type: integer}
  action: {action: keep, type: integer}
  next_state: {action: keep, type: integer}
  reward: {action: keep, type: number}
"""
OFFLINE = """
kind: TrainingRun
name: walk-offline
learner: {library: ringfence, algorithm: pessimistic-value-iteration, hyperparameters: {penalty: 0.01, min_count: 2}}
data:
  dataset: walks
  purpose: walking
  columns: {episode: walk, state: state, action: action, next_state: next_state, reward: reward}
seed: 3
evaluation: {simulator: corridor, episodes: 400, agents: [random, clinicians]}
"""
ONLINE = """
kind: TrainingRun
name: walk-online
learner:
  library: sb3
  algorithm: PPO
  hyperparameters: {n_steps: 32, batch_size: 64, learning_rate: 0.05, policy_kwargs: {net_arch: []}}
simulator: corridor
num_envs: 4
budget: {steps: 2000}
seed: 3
evaluation: {simulator: corridor, episodes: 200, agents: [random]}
"""


def safetensors(tensors: Mapping[str, tuple[tuple[int, ...], list[float]]]) -> bytes:
    """Return a safetensors file of float32 tensors, written from the format's description."""
    header: dict[str, Any] = {}
    data = b""
    for name, (shape, values) in tensors.items():
        part = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tabular(policy: list[list[float]], mode: str = "deterministic", **changes: Any) -> dict[str, bytes]:
    """Return the two files of an agent with a table."""
    body = {"format": "ringfence-agent/1", "kind": "tabular", "mode": mode,
            "observation_space": {"type": "Discrete", "n": len(policy), "start": 0},
            "action_space": {"type": "Discrete", "n": len(policy[0]), "start": 0}, **changes}
    values = [chance for row in policy for chance in row]
    return {"agent.json": json.dumps(body).encode(),
            "agent.safetensors": safetensors({"policy": ((len(policy), len(policy[0])), values)})}


def corridor(version: str = "1.0.0", code: str = CORRIDOR) -> bytes:
    """Return the bundle of the corridor, with walkers who don't look as its clinicians."""
    clinicians = tabular([[0.5, 0.5]] * STATES, "stochastic")
    baselines = {f"baselines/clinicians/{name}": data for name, data in clinicians.items()}
    return packed({"simulator.yaml": MANIFEST.format(version=version), "corridor.py": code, **baselines})


def walks(episodes: int = 300, seed: int = 5) -> bytes:
    """Return a CSV of people walking the corridor at random."""
    draw = random.Random(seed)
    lines = ["person,walk,region,step,state,action,next_state,reward"]
    for walk in range(episodes):
        place = 1
        for step in range(200):
            action = draw.randrange(ACTIONS)
            following = place + (1 if bool(action) != (draw.random() < 0.1) else -1)
            lines.append(f"P{walk % 60:03},W{walk:05},{'north' if walk % 2 else 'south'},{step},{place},{action},"
                         f"{following},{float(following == 4)}")
            place = following
            if place in (0, 4):
                break
    return ("\n".join(lines) + "\n").encode()


@dataclass
class RunPlatform(DataPlatform):
    """The data domain and all that stands on it. `work` does queued jobs as a real worker until none is left."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.actors |= {one.id: one for one in (MLOPS, CALLER)}
        self.simulators = SimulatorService(self.gate, self.database, self.blobs, self.queue, sandbox=self.sandbox,
                                           keys=self.keys, users=runs_using)
        self.registry = RegistryService(self.gate, self.blobs, self.keys)
        self.training = TrainingService(
            self.gate, self.database, self.blobs, self.queue, sandbox=self.sandbox, data=self.data,
            simulators=self.simulators, registry=self.registry, environments=ENVIRONMENTS)
        self.serving = EndpointService(self.gate, self.database, self.sandbox, self.registry, keys=self.keys,
                                       worker=lambda: WORKER)

    def service_actor(self, name: str) -> Actor:
        return {"worker": WORKER}[name]

    def actor_by_id(self, identifier: str) -> Actor:
        return self.actors[identifier]

    def handlers(self) -> dict[str, Handler]:
        return {"dataset.ingest": self.data.execute_ingest, "dataset.classify": self.data.execute_classify,
                "dataset.release": self.data.execute_release, "simulator.admit": self.simulators.execute_admit,
                "run.execute": self.training.execute}

    def worker(self) -> Worker:
        return Worker(self.queue, self.handlers(), self, Path(self.folder) / "worker.lock", lease_seconds=30)

    def work(self) -> None:
        worker = self.worker()
        while worker.run_one():
            pass

    def prepared(self) -> RunPlatform:
        """Release the walks and admit the corridor."""
        self.released(DECLARATION, walks())
        self.admit()
        return self

    def admit(self, bundle: bytes | None = None) -> None:
        job = self.simulators.build(SCIENTIST, [bundle or corridor()])
        self.work()
        with self.database.reading() as session:
            admitted = self.queue.get(session, job.id)
        assert admitted.state == JobState.DONE, admitted.error

    def run(self, spec: str) -> RunView:
        """Submit a run and do it."""
        submitted = self.training.submit(SCIENTIST, spec)
        self.work()
        return self.training.show(SCIENTIST, submitted.id)


def promote(platform: RunPlatform, ref: str) -> None:
    """Bring a model version into production, as its two people would."""
    asked = platform.registry.request_promotion(MLOPS, ref, "production", "better")
    platform.registry.approve(OFFICER, asked.id, "checked")
