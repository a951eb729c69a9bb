"""What happens inside the fences of a run: learning, the egress canary, evaluation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ringfence.errors import InvalidError, UnavailableError, WorkloadError
from ringfence.jobs.domain import JobContext
from ringfence.sandbox.canary import egress_canary
from ringfence.sandbox.lockstep import Simulated, run_with_simulator
from ringfence.sandbox.sandbox import FenceSpec, Guarantee, Limits, OnEvent, Sandbox, TaskResult, Workload
from ringfence.sandbox.tasks import close_outputs, run_task
from ringfence.simulators.domain import RANDOM, Manifest
from ringfence.storage.database import Database
from ringfence.training import provenance, reports
from ringfence.training.ports import AgentShape, DataPort, RegistryPort, SimulatorPort
from ringfence.training.spec import RunSpec
from ringfence.training.store import MetricSink
from ringfence_workload.wire import memory, spaces

ARTEFACTS = ("agent.json", "agent.safetensors")
MAX_ARTEFACT = 256 << 20
DAY = 24 * 3600
LIMITS = Limits(memory=4 << 30, wall_seconds=float(DAY), cpu_seconds=DAY)
VECTOR_ENVS, SINGLE_ENVS = 512, 8
TRAINED_SHARE, JUDGED_SHARE = 0.7, 0.97


@dataclass(frozen=True)
class Inputs:
    """What a run works on: its specification, and by digest the dataset version and simulators it was granted."""

    run: str
    spec: RunSpec
    dataset: Mapping[str, Any] | None
    simulators: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Phases:
    """Runs the fenced part of each phase. `environments` is the folder of workload environments."""

    sandbox: Sandbox
    database: Database
    data: DataPort
    simulators: SimulatorPort
    registry: RegistryPort
    environments: Path

    def train(self, inputs: Inputs, context: JobContext) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Learn in a fence; return what to store of it, and the agent's two files, checked.

        Raises:
            WorkloadError: a workload failed, or reports what can't be.
            InvalidError: the agent does not keep to the format.
            UnavailableError: no fence, or one that leaks.
        """
        spec = inputs.spec
        recorder = Recorder(self.sandbox)
        context.progress(0.0, "showing that nothing gets out of the fence")
        canary = egress_canary(recorder, spec.learner.environment)
        if any(attempt.reached_inside for attempt in canary.attempts):
            raise UnavailableError("fence.leaks", "The fence lets traffic out: nothing is run in it.",
                                   fix="See what `ringfence doctor` says of the sandbox.")
        result = self._learn(recorder, inputs, context)
        artefacts = taken(result)
        learned = reports.learned(result.values, result.exit.wall_seconds, spec.steps)
        shape = self.registry.check_agent(artefacts["agent.json"], artefacts["agent.safetensors"])
        if spec.evaluation:
            _require_fit(shape, self._manifest(inputs, "evaluation", context))
        behaviour = {"behaviour_value": learned.behaviour_value} if learned.behaviour_value else {}
        figures = {"steps": learned.steps, "seconds": learned.seconds, "steps_per_second": learned.steps_per_second,
                   "wall_seconds": result.exit.wall_seconds, "cpu_seconds": result.exit.cpu_seconds}
        fence = {"guarantees": [asdict(guarantee) for guarantee in recorder.guarantees()],
                 "egress": canary.as_json(), "egress_blocked": canary.blocked, "workloads": recorder.workloads}
        return ({"learning": figures, "result": {**behaviour, "learning": learned.extra}, "fence": fence,
                 "provenance": self._origin(spec), "artefacts": {}}, artefacts)

    def evaluate(self, inputs: Inputs, agent: Mapping[str, int], context: JobContext) -> dict[str, Any]:
        """Judge the agent beside its baselines in fresh fences; return each one's interval, none if none is wanted.

        Raises:
            WorkloadError: a workload failed, or reports what can't be.
        """
        wanted, recorder = inputs.spec.evaluation, Recorder(self.sandbox)
        if wanted is None:
            return {"scores": {}, "workloads": []}
        manifest = self._manifest(inputs, "evaluation", context)
        contenders = [{"name": "agent", "source": "package"}] + [
            {"name": name, "source": RANDOM if name == RANDOM else "baseline"} for name in wanted.agents]
        parameters = {"episodes": wanted.episodes, "seed": inputs.spec.seed, "agents": contenders}
        num_envs = wanted.num_envs or min(wanted.episodes, VECTOR_ENVS if manifest.vector else SINGLE_ENVS)
        with self._bundle(inputs, "evaluation", context) as bundle:
            simulated = _simulated(inputs, manifest, bundle, num_envs, "judge")
            result = run_with_simulator(
                recorder, simulated, _fence(inputs, "evaluate", "base"), "evaluate", parameters,
                {"bundle": bundle, **agent}, _progress(context, TRAINED_SHARE, JUDGED_SHARE, "evaluating"),
                context.should_stop)
        close_outputs(result)
        names = [contender["name"] for contender in contenders]
        return {"scores": reports.scores(result.values, names, wanted.episodes), "workloads": recorder.workloads}

    def _learn(self, sandbox: Sandbox, inputs: Inputs, context: JobContext) -> TaskResult:
        sink = MetricSink(self.database, inputs.run)
        report = _progress(context, 0.0, TRAINED_SHARE, "learning")

        def on_event(event: dict[str, Any]) -> None:
            sink.add(event) if event["event"] == "metric" else report(event)

        learn = self._learn_from_data if inputs.spec.data else self._learn_in_simulator
        try:
            return learn(sandbox, inputs, context, on_event)
        finally:
            sink.flush()

    def _learn_from_data(self, sandbox: Sandbox, inputs: Inputs, context: JobContext, on_event: OnEvent) -> TaskResult:
        spec, dataset = inputs.spec, inputs.dataset
        assert spec.data is not None
        assert dataset is not None
        parameters: dict[str, Any] = {"columns": dict(spec.data.columns), "seed": spec.seed,
                                      "hyperparameters": dict(spec.hyperparameters)}
        if spec.evaluation:
            manifest = self._manifest(inputs, "evaluation", context)
            parameters |= {"observation_space": manifest.observation_space, "action_space": manifest.action_space}
        data = self.data.open_columns(context.actor, dataset["version"], dataset["columns"], spec.data.purpose,
                                      context.on_behalf_of)
        try:
            return run_task(sandbox, _fence(inputs, "learn", spec.learner.environment), spec.learner.task, parameters,
                            {"data": data}, on_event, context.should_stop)
        finally:
            os.close(data)

    def _learn_in_simulator(self, sandbox: Sandbox, inputs: Inputs, context: JobContext, on_event: OnEvent,
                            ) -> TaskResult:
        spec = inputs.spec
        manifest = self._manifest(inputs, "learning", context)
        parameters = {"algorithm": spec.algorithm, "hyperparameters": dict(spec.hyperparameters),
                      "total_steps": spec.steps, "seed": spec.seed}
        with self._bundle(inputs, "learning", context) as bundle:
            simulated = _simulated(inputs, manifest, bundle, spec.num_envs, "simulate")
            return run_with_simulator(sandbox, simulated, _fence(inputs, "learn", spec.learner.environment),
                                      spec.learner.task, parameters, {}, on_event, context.should_stop)

    def _manifest(self, inputs: Inputs, use: str, context: JobContext) -> Manifest:
        return self.simulators.show(context.actor, inputs.simulators[use]["digest"]).manifest

    @contextlib.contextmanager
    def _bundle(self, inputs: Inputs, use: str, context: JobContext) -> Iterator[int]:
        facts = context.policy_context(run=inputs.run)
        bundle = self.simulators.open_bundle(context.actor, inputs.simulators[use]["digest"], facts)
        try:
            yield bundle
        finally:
            os.close(bundle)

    def _origin(self, spec: RunSpec) -> dict[str, Any]:
        names = sorted({spec.learner.environment, "base"})
        return {"format": provenance.FORMAT, "code": provenance.code(),
                "environments": {name: provenance.environment(self.environments, name) for name in names}}


class Recorder:
    """A sandbox that notes the user id of each workload started through it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.workloads: list[dict[str, Any]] = []

    def guarantees(self) -> tuple[Guarantee, ...]:
        """Say what this host enforces."""
        return self._sandbox.guarantees()

    def start(self, spec: FenceSpec) -> Workload:
        """Start one workload."""
        workload = self._sandbox.start(spec)
        self.workloads.append({"name": spec.name, "uid": workload.uid})
        return workload


def taken(result: TaskResult) -> dict[str, bytes]:
    """Return the agent's files from a learner's outputs, which are closed.

    Raises:
        WorkloadError: `workload.misreported`: they are not these two files, or too large.
    """
    try:
        if set(result.outputs) != set(ARTEFACTS):
            raise WorkloadError("workload.misreported", "The learner did not hand back exactly "
                                f"{' and '.join(ARTEFACTS)}.", field="outputs")
        return {name: memory.read_all(descriptor, MAX_ARTEFACT) for name, descriptor in result.outputs.items()}
    except memory.NotSealedError as error:
        raise WorkloadError("workload.misreported", f"The learner's agent can't be taken: {error}.") from error
    finally:
        close_outputs(result)


def _require_fit(shape: AgentShape, manifest: Manifest) -> None:
    for what, given, wanted in (("observation", shape.observation_space, manifest.observation_space),
                                ("action", shape.action_space, manifest.action_space)):
        ours, theirs = spaces.from_json(given), spaces.from_json(wanted)
        if (ours.kind, ours.shape, ours.n, ours.start) != (theirs.kind, theirs.shape, theirs.n, theirs.start):
            raise InvalidError("run.agent_does_not_fit", f"The agent's {what} space is not {manifest.name}'s.",
                               field="evaluation.simulator", value=manifest.name,
                               fix="Evaluate it in the simulator that it learned in, or learn on data with the "
                                   "same numbering.")


def _fence(inputs: Inputs, what: str, environment: str) -> FenceSpec:
    return FenceSpec(f"{inputs.run}-{what}", environment, LIMITS)


def _simulated(inputs: Inputs, manifest: Manifest, bundle: int, num_envs: int, what: str) -> Simulated:
    return Simulated(bundle, spaces.from_json(manifest.observation_space), spaces.from_json(manifest.action_space),
                     num_envs, _fence(inputs, what, "base"))


def _progress(context: JobContext, start: float, end: float, what: str) -> Callable[[dict[str, Any]], None]:
    def report(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            context.progress(start + (end - start) * event["share"], f"{what}: {event['text']}"[:200])

    return report
