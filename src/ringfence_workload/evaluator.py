"""What agents are worth: whole episodes in a simulator, mean return with a 95% interval, baselines side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence_workload import agent as agents
from ringfence_workload.intervals import mean_interval
from ringfence_workload.simulator_host import PROJECT, unpack
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire.channel import ChannelClient
from ringfence_workload.wire.spaces import SpaceSpec


class RandomAgent:
    """Draws uniformly from a bounded action space: the floor that any agent must clear."""

    def __init__(self, observation: SpaceSpec, action: SpaceSpec) -> None:
        self.observation_space, self.action_space = observation, action
        self._low, self._high = action.limits()

    def act(self, observations: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        """Return one action for each of N observations."""
        shape = (len(observations), *self.action_space.shape)
        if np.dtype(self.action_space.dtype).kind == "f":
            return random.uniform(self._low, self._high, shape).astype(self.action_space.dtype)
        return random.integers(self._low, self._high, shape, endpoint=True)


def evaluate(job: Job) -> Result:
    """Task `evaluate`: play `episodes` episodes with each of `agents` [{name, source}] and compare.

    Sources: "package" (inputs agent.json, agent.safetensors), "baseline" (of the input `bundle`), "random".
    Values: {"agents": {name: {mean, ci_low, ci_high, episodes}}}. Every agent starts from the same seed.

    Raises:
        TaskError: `evaluation.*`, `agent.malformed`, `simulator.*`.
    """
    episodes, seed, wanted = job.parameters["episodes"], int(job.parameters["seed"]), job.parameters["agents"]
    if not isinstance(episodes, int) or episodes < 2:
        raise TaskError("evaluation.too_few_episodes", "An interval needs at least 2 episodes.",
                        fix="Ask for more episodes.", field="evaluation.episodes", value=str(episodes))
    channel = ChannelClient.from_job(job)
    contenders = _contenders(job, wanted, channel)
    measured = {}
    for number, (name, contender) in enumerate(contenders.items()):
        job.progress(number / len(contenders), f"{name}: {episodes} episodes")
        measured[name] = mean_interval(play(channel, contender, episodes, seed))
    channel.close()
    return Result({"agents": measured})


def play(channel: ChannelClient, agent: agents.Agent, episodes: int, seed: int) -> NDArray[np.float64]:
    """Return the returns of `episodes` whole episodes, (episodes,), undiscounted.

    How many each environment plays is fixed beforehand. Taking whichever episodes end first would favour short ones.
    """
    quota = np.full(channel.num_envs, episodes // channel.num_envs)
    quota[: episodes % channel.num_envs] += 1
    random = np.random.default_rng(seed)
    played, running = np.zeros_like(quota), np.zeros(channel.num_envs)
    returns: list[NDArray[np.float64]] = []
    observations = channel.reset(seed)
    while (played < quota).any():
        batch = channel.step(agent.act(observations, random))
        running += batch.rewards
        ended = batch.terminated | batch.truncated
        returns.append(running[ended & (played < quota)])
        played += ended
        running[ended] = 0.0
        observations = batch.observations
    return np.concatenate(returns)


def _contenders(job: Job, wanted: list[Mapping[str, str]], channel: ChannelClient) -> dict[str, agents.Agent]:
    folders = _baselines(job) if any(entry["source"] == "baseline" for entry in wanted) else {}
    chosen: dict[str, agents.Agent] = {}
    for entry in wanted:
        name, source = entry["name"], entry["source"]
        if source == "random":
            chosen[name] = RandomAgent(channel.observation, channel.action)
        elif source == "package":
            chosen[name] = agents.load_inputs(job.inputs)
        elif name in folders:
            chosen[name] = agents.load_folder(folders[name])
        else:
            raise TaskError("evaluation.no_such_baseline", f"The simulator ships no baseline {name}.",
                            fix=f"It ships {', '.join(sorted(folders)) or 'none'}; random is always there.",
                            field="evaluation.agents", value=name)
        _require_fit(name, chosen[name], channel)
    return chosen


def _baselines(job: Job) -> dict[str, Path]:
    project = unpack(job.inputs["bundle"])
    return {name: PROJECT / folder for name, folder in project.baselines.items()}


def _require_fit(name: str, agent: agents.Agent, channel: ChannelClient) -> None:
    for what, ours, theirs in (("observation", agent.observation_space, channel.observation),
                               ("action", agent.action_space, channel.action)):
        if (ours.kind, ours.shape, ours.n, ours.start) != (theirs.kind, theirs.shape, theirs.n, theirs.start):
            raise TaskError("evaluation.agent_does_not_fit", f"The {what} space of {name} is not the simulator's.",
                            fix="Train it in this simulator, or on data with the same numbering.",
                            field="evaluation.simulator", value=name)
