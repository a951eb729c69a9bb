"""Learn in a simulator with Stable-Baselines3."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping
from numbers import Real
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from ringfence_workload.learner.hyperparameters import require_known
from ringfence_workload.learner.sb3_environment import ChannelVecEnv
from ringfence_workload.learner.sb3_export import export
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire.channel import ChannelClient
from ringfence_workload.wire.spaces import SpaceSpec

ALGORITHMS = {"PPO": stable_baselines3.PPO, "A2C": stable_baselines3.A2C, "DQN": stable_baselines3.DQN}
NOT_THE_USERS = frozenset({
    "self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "stats_window_size", "monitor_wrapper",
    "_init_setup_model", "rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class",
    "replay_buffer_kwargs"})
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
REPORTS = 200


def learn(job: Job) -> Result:
    """Task `learn.sb3`: the channel's inputs; parameters algorithm, hyperparameters, total_steps, seed.

    Metrics: return_mean and episode_length of the episodes since the last report, steps_per_second, and the
    library's own loss terms. Values: steps, seconds, steps_per_second (of the learning alone).

    Raises:
        TaskError: `hyperparameter.*`, `learner.*`, `simulator.*`.
    """
    torch.set_num_threads(1)
    algorithm, settings = checked_settings(job.parameters)
    seed, total = int(job.parameters["seed"]), int(job.parameters["total_steps"])
    client = ChannelClient.from_job(job)
    _require_supported(client.observation, client.action)
    environment = ChannelVecEnv(client)
    model = _build(algorithm, environment, settings, seed)
    started = time.perf_counter()
    try:
        model.learn(total, callback=Reporter(job, environment, total))
    except (ValueError, FloatingPointError) as error:
        raise TaskError("learner.diverged", f"Training broke off: {str(error).splitlines()[0][:300]}",
                        fix="A lower learning_rate usually helps.", field="learner.hyperparameters") from error
    seconds = time.perf_counter() - started
    environment.close()
    steps = int(model.num_timesteps)
    return Result({"steps": steps, "seconds": seconds, "steps_per_second": steps / seconds},
                  export(model, client.observation, client.action, seed))


class Reporter(BaseCallback):  # type: ignore[misc]
    """Streams metrics to the keeper, at most about REPORTS times in a run."""

    def __init__(self, job: Job, environment: ChannelVecEnv, total: int) -> None:
        super().__init__()
        self._job, self._environment, self._total = job, environment, total
        self._every, self._next, self._started = total / REPORTS, 0.0, time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps < self._next:
            return
        self._next = self.num_timesteps + self._every
        returns, lengths = self._environment.take_episodes()
        values = {name.removeprefix("train/"): float(value) for name, value in self.logger.name_to_value.items()
                  if name.startswith("train/") and isinstance(value, Real)}
        if returns:
            values |= {"return_mean": sum(returns) / len(returns), "episode_length": sum(lengths) / len(lengths)}
        values["steps_per_second"] = self.num_timesteps / (time.perf_counter() - self._started)
        self._job.metric(self.num_timesteps, {name: value for name, value in values.items() if math.isfinite(value)})
        self._job.progress(min(1.0, self.num_timesteps / self._total), f"{self.num_timesteps} steps")


def checked_settings(parameters: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the algorithm's class and its checked keyword arguments.

    Raises:
        TaskError: `learner.unknown_algorithm`, `hyperparameter.*`.
    """
    name = str(parameters["algorithm"])
    if name not in ALGORITHMS:
        raise TaskError("learner.unknown_algorithm", f"The library sb3 has no algorithm {name} here.",
                        fix=f"Take one of {', '.join(ALGORITHMS)}.", field="learner.algorithm", value=name)
    algorithm = ALGORITHMS[name]
    settings = dict(parameters.get("hyperparameters", {}))
    require_known(settings, set(inspect.signature(algorithm.__init__).parameters) - NOT_THE_USERS, name)
    if "policy_kwargs" in settings:
        settings["policy_kwargs"] = _network(settings["policy_kwargs"], name)
    return algorithm, settings


def _network(given: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    require_known(given, ("net_arch", "activation_fn"), algorithm, "hyperparameters.policy_kwargs")
    network = dict(given)
    if "activation_fn" in network:
        if network["activation_fn"] not in ACTIVATIONS:
            raise TaskError("hyperparameter.invalid", "The network's activation is not known.",
                            fix=f"Take one of {', '.join(ACTIVATIONS)}.",
                            field="hyperparameters.policy_kwargs.activation_fn", value=str(network["activation_fn"]))
        network["activation_fn"] = ACTIVATIONS[network["activation_fn"]]
    return network


def _require_supported(observation: SpaceSpec, action: SpaceSpec) -> None:
    image = observation.dtype == "uint8" and len(observation.shape) == 3
    for what, space in (("observation", observation), ("action", action)):
        if space.kind not in ("Discrete", "Box") or image:
            raise TaskError("learner.space_unsupported", f"The {what} space can't be learned from yet: it must be "
                            f"Discrete or a Box, and no image.", fix="Flatten it with a wrapper in the simulator.",
                            field="simulator", value="image" if image else space.kind)


def _build(algorithm: Any, environment: ChannelVecEnv, settings: Mapping[str, Any], seed: int) -> Any:
    try:
        model = algorithm("MlpPolicy", environment, seed=seed, device="cpu", **settings)
    except (TypeError, ValueError, AssertionError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise TaskError("hyperparameter.invalid", f"Stable-Baselines3 refuses these hyperparameters: {reason}",
                        fix="Correct them after the library's documentation.",
                        field="learner.hyperparameters") from error
    model.set_logger(Logger(None, []))
    return model
