"""A run's phases: train, evaluate, register. Each ends with its outcome stored, and is done again if it was cut off."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import RingfenceError, from_problem
from ringfence.jobs.domain import JobContext
from ringfence.storage.blobs import BlobStore, Zone
from ringfence.training.domain import RunState
from ringfence.training.phases import ARTEFACTS, Inputs, Phases
from ringfence.training.ports import RegistryPort
from ringfence.training.spec import RunSpec, from_document
from ringfence.training.store import RunStore
from ringfence.training.tables import RunRow
from ringfence.trust.domain import Action, Resource
from ringfence.trust.gate import Gate, Intent
from ringfence_workload.wire import memory

MAX_ARTEFACT = 256 << 20


@dataclass(frozen=True)
class Execution:
    """Executes runs. Its verbs go through the gate, in the name of the worker, on behalf of who submitted the run."""

    gate: Gate
    store: RunStore
    blobs: BlobStore
    phases: Phases
    registry: RegistryPort

    def execute(self, identifier: str, context: JobContext) -> dict[str, Any]:
        """Take a run from wherever it is to its end; return its id and model.

        Raises:
            RingfenceError: it failed; the run keeps the reason. Not when the worker was asked to stop.
        """
        try:
            return self._execute(identifier, context)
        except Exception as error:
            if not context.should_stop():
                self.store.fail(identifier, _problem(error))
            raise

    def _execute(self, identifier: str, context: JobContext) -> dict[str, Any]:
        row = self.store.load(identifier)
        while row.state not in (RunState.DONE, RunState.FAILED):
            phase = {RunState.QUEUED: self._start, RunState.RUNNING: self._train}.get(
                RunState(row.state), self._judge_and_register)
            phase(row, context)
            row = self.store.load(identifier)
        if row.state == RunState.FAILED:
            raise from_problem(json.loads(row.error or "{}"))
        for name in ARTEFACTS:  # the package holds them from here on
            self.blobs.delete(Zone.MODELS, f"run/{row.id}/{name}")
        return {"run": row.id, "model": row.model}

    def _start(self, row: RunRow, context: JobContext) -> None:
        with self.store.database.transaction() as session:
            self.store.move(session, row.id, RunState.RUNNING)

    def _train(self, row: RunRow, context: JobContext) -> None:
        with self._intent(Action.RUN_EXECUTE, row, context) as (intent, inputs):
            trained, artefacts = self.phases.train(inputs, context)
            for name in ARTEFACTS:
                stored = self.blobs.put(Zone.MODELS, f"run/{row.id}/{name}", artefacts[name])
                trained["artefacts"][name] = stored.digest
            intent.record(steps=trained["learning"]["steps"], artefacts=trained["artefacts"],
                          egress_blocked=trained["fence"]["egress_blocked"])
            with intent.completing() as session:
                self.store.move(session, row.id, RunState.EVALUATING, trained=trained)

    def _judge_and_register(self, row: RunRow, context: JobContext) -> None:
        trained = json.loads(row.trained or "{}")
        with self._artefacts(row.id, trained["artefacts"]) as descriptors:
            if row.evaluated is None:
                self._evaluate(row, context, descriptors)
                row = self.store.load(row.id)
            content = {name: memory.read_all(descriptor, MAX_ARTEFACT) for name, descriptor in descriptors.items()}
        self._register(row, context, trained, content)

    def _evaluate(self, row: RunRow, context: JobContext, agent: Mapping[str, int]) -> None:
        with self._intent(Action.RUN_EVALUATE, row, context) as (intent, inputs):
            evaluated = self.phases.evaluate(inputs, agent, context)
            result = {"evaluation": evaluated["scores"], **json.loads(row.trained or "{}")["result"]}
            intent.record(agent=evaluated["scores"].get("agent", "not evaluated"))
            with intent.completing() as session:
                session.get_one(RunRow, row.id).evaluated = json.dumps({**evaluated, "result": result})

    def _register(self, row: RunRow, context: JobContext, trained: Mapping[str, Any],
                  content: dict[str, bytes]) -> None:
        context.progress(0.97, "registering the model")
        evaluated = json.loads(row.evaluated or "{}")
        content["evaluation.json"] = _json({"run": row.id, **evaluated["result"]})
        content["provenance.json"] = _json(_provenance(row, trained, evaluated))
        facts = self._facts(row, context) | {"egress_blocked": trained["fence"]["egress_blocked"]}
        model = self.registry.register(context.actor, name=_spec(row).model, run=row.id, content=content,
                                       trained_by=row.trained_by, context=facts)
        with self.store.database.transaction() as session:
            self.store.move(session, row.id, RunState.DONE, model=model.ref)

    @contextlib.contextmanager
    def _intent(self, action: Action, row: RunRow, context: JobContext) -> Iterator[tuple[Intent, Inputs]]:
        resource = Resource("run", row.id, row.project)
        with self.gate.intend(context.actor, action, resource, self._facts(row, context), {"run": row.id}) as intent:
            yield intent, Inputs(row.id, _spec(row), json.loads(row.dataset) if row.dataset else None,
                                 json.loads(row.simulators))

    @contextlib.contextmanager
    def _artefacts(self, run: str, digests: Mapping[str, str]) -> Iterator[dict[str, int]]:
        with contextlib.ExitStack() as stack:
            descriptors = {}
            for name in ARTEFACTS:
                descriptors[name] = self.blobs.open(Zone.MODELS, f"run/{run}/{name}", digests[name])
                stack.callback(os.close, descriptors[name])
            yield descriptors

    def _facts(self, row: RunRow, context: JobContext) -> dict[str, Any]:
        dataset = json.loads(row.dataset) if row.dataset else {}
        simulators = sorted({item["digest"] for item in json.loads(row.simulators).values()})
        return context.policy_context(run=row.id, purpose=row.purpose, dataset=dataset.get("version", ""),
                                      columns=dataset.get("columns", []), simulators=simulators,
                                      spec_digest=row.spec_digest)


def _spec(row: RunRow) -> RunSpec:
    return from_document(json.loads(row.specification))


def _provenance(row: RunRow, trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> dict[str, Any]:
    fence = {**trained["fence"], "workloads": trained["fence"]["workloads"] + evaluated["workloads"]}
    return {**trained["provenance"], "run": row.id, "name": row.name, "purpose": row.purpose,
            "submitted_by": {"account": row.submitted_by, "person": row.trained_by}, "submitted_at": row.submitted_at,
            "dataset": json.loads(row.dataset) if row.dataset else None, "simulators": json.loads(row.simulators),
            "spec": json.loads(row.specification), "spec_digest": row.spec_digest, "seed": row.seed,
            "learning": trained["learning"], "artefacts": trained["artefacts"], "fence": fence}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _problem(error: Exception) -> dict[str, Any]:
    if isinstance(error, RingfenceError):
        return error.as_problem()
    return RingfenceError("run.crashed", f"The run met an unexpected {type(error).__name__}.",
                          fix="The worker's log has the details; submitting the run again is safe.").as_problem()
