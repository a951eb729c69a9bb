"""The verbs of runs: submit, list, show, metrics. A run itself is executed in `execution.py`."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import MissingError
from ringfence.jobs.domain import JobContext, JobState, JobView
from ringfence.jobs.queue import JobQueue
from ringfence.sandbox.sandbox import Sandbox
from ringfence.simulators.domain import RANDOM, SimulatorView
from ringfence.storage.blobs import BlobStore
from ringfence.storage.database import Database
from ringfence.storage.ids import new_id
from ringfence.training.domain import Metric, RunState, RunView
from ringfence.training.execution import Execution
from ringfence.training.phases import Phases
from ringfence.training.ports import DataPort, RegistryPort, ReleasedVersion, SimulatorPort
from ringfence.training.spec import RunSpec, parse, wrong
from ringfence.training.store import RunStore
from ringfence.training.tables import MetricRow, RunRow
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate, OpenIntent

EXECUTE = "run.execute"
MAX_PAGE = 1000


class TrainingService:
    """Runs of a project. `environments` is the folder of the workloads' environments."""

    def __init__(self, gate: Gate, database: Database, blobs: BlobStore, queue: JobQueue, *, sandbox: Sandbox,
                 data: DataPort, simulators: SimulatorPort, registry: RegistryPort, environments: Path) -> None:
        self._gate, self._queue, self._data, self._simulators = gate, queue, data, simulators
        phases = Phases(sandbox, database, data, simulators, registry, environments)
        self._execution = Execution(gate, RunStore(database), blobs, phases, registry)

    def submit(self, actor: Actor, spec_yaml: str) -> RunView:
        """Check a specification against what it names, and queue the run.

        The same specification over the same inputs, submitted again by the same account, is the same run, unless it
        failed.

        Raises:
            InvalidError: a field is wrong; `field` is its path.
            MissingError: the dataset or simulator is not there.
            DeniedError: policy refused.
        """
        spec = parse(spec_yaml)
        version = self._granted(actor, spec)
        simulators = self._resolved(actor, spec)
        row = _new_row(actor, spec, version, simulators)
        facts = {"run": row.id, "purpose": row.purpose, "library": spec.library, "algorithm": spec.algorithm,
                 "dataset": version.ref if version else "", "columns": _columns(spec),
                 "simulators": sorted({simulator.digest for simulator in simulators.values()})}
        with self._gate.act(actor, Action.RUN_SUBMIT, Resource("run", spec.name, actor.project), facts) as permit:
            job = self._queue.submit(permit.session, EXECUTE, {"run": row.id}, submitted_by=actor.id,
                                     project=actor.project, key=_key(actor, row))
            if job.payload["run"] == row.id:
                row.job = job.id
                permit.session.add(row)
            else:
                row = find(permit.session, actor.project, str(job.payload["run"]))
            permit.record(run=row.id, spec_digest=row.spec_digest)
            return self._view(permit.session, row)

    def _granted(self, actor: Actor, spec: RunSpec) -> ReleasedVersion | None:
        if spec.data is None:
            return None
        version = self._data.find_version(actor, spec.data.dataset)
        for role, column in spec.data.columns.items():
            if column not in version.columns:
                raise wrong(f"data.columns.{role}", column, f"is no column of {version.ref}", version.columns)
        if spec.data.purpose != version.purpose:
            raise wrong("data.purpose", spec.data.purpose, f"is not what {version.ref} was released for",
                        [version.purpose])
        return version

    def _resolved(self, actor: Actor, spec: RunSpec) -> dict[str, SimulatorView]:
        if spec.evaluation is None:
            return {}
        judge = self._simulators.show(actor, spec.evaluation.simulator)
        known = (RANDOM, *judge.manifest.baselines)
        for name in spec.evaluation.agents:
            if name not in known:
                raise wrong("evaluation.agents", name, f"is no baseline of {judge.ref}", known)
        if not spec.simulator:
            return {"evaluation": judge}
        return {"evaluation": judge, "learning": self._simulators.show(actor, spec.simulator)}

    def show(self, actor: Actor, identifier: str) -> RunView:
        """Return one run.

        Raises:
            MissingError: there is none of that id.
        """
        with self._gate.read(actor, Action.RUN_SHOW, Resource("run", identifier, actor.project)) as session:
            return self._view(session, find(session, actor.project, identifier))

    def metrics(self, actor: Actor, identifier: str, after: int = -1) -> list[Metric]:
        """Return what the run measured after metric number `after`, at most 1,000 at once.

        Raises:
            MissingError: there is no such run.
        """
        with self._gate.read(actor, Action.RUN_SHOW, Resource("run", identifier, actor.project)) as session:
            find(session, actor.project, identifier)
            rows = select(MetricRow).where(MetricRow.run == identifier, MetricRow.number > after)
            return [Metric(row.number, row.step, json.loads(row.numbers))
                    for row in session.scalars(rows.order_by(MetricRow.number).limit(MAX_PAGE))]

    def execute(self, job: JobView, context: JobContext) -> dict[str, Any]:
        """Do a queued run, or go on with one whose worker died: the handler of the job that `submit` queued."""
        return self._execution.execute(str(job.payload["run"]), context)

    def settle(self, intent: OpenIntent) -> str:
        """Say what becomes of a phase whose worker died: nothing of it counts, and its job goes on."""
        return f"{intent.action.value} was cut off; the run's job does that phase again"

    def list(self, actor: Actor) -> list[RunView]:
        """Return the runs of the actor's project, the latest first."""
        with self._gate.read(actor, Action.RUN_LIST, Resource("run", "*", actor.project)) as session:
            rows = select(RunRow).where(RunRow.project == actor.project).order_by(RunRow.id.desc()).limit(MAX_PAGE)
            return [self._view(session, row) for row in session.scalars(rows)]

    def _view(self, session: Session, row: RunRow) -> RunView:
        return view(row, self._queue.get(session, row.job))


def find(session: Session, project: str, identifier: str) -> RunRow:
    """Return a run's row.

    Raises:
        MissingError: there is none in the project.
    """
    row = session.get(RunRow, identifier)
    if row is None or row.project != project:
        raise MissingError("run.missing", f"There is no run {identifier[:60]}.", field="run", value=identifier[:60],
                           fix="`ringfence train list` shows those that there are.")
    return row


def view(row: RunRow, job: JobView) -> RunView:
    """Return a run as the world sees it; a run whose job was given up has failed, whatever its row says."""
    spec, simulators = json.loads(row.specification), json.loads(row.simulators)
    dataset = json.loads(row.dataset) if row.dataset else {}
    trained = json.loads(row.trained) if row.trained else {}
    given_up = job.state == JobState.FAILED and row.state != RunState.DONE
    learning = trained.get("learning", {})
    fence = trained.get("fence")
    return RunView(
        id=row.id, name=row.name, state=RunState.FAILED.value if given_up else row.state, share=job.share,
        text=job.text, spec=spec, spec_digest=row.spec_digest, dataset_version=dataset.get("version", ""),
        columns=dataset.get("columns", []),
        simulator_digest=(simulators.get("learning") or simulators.get("evaluation") or {}).get("digest", ""),
        seed=row.seed, steps=learning.get("steps"), steps_per_second=learning.get("steps_per_second"),
        result=json.loads(row.evaluated)["result"] if row.evaluated else None, model=row.model,
        fence=fence and {"guarantees": fence["guarantees"], "egress_blocked": fence["egress_blocked"],
                         "uids": [workload["uid"] for workload in fence["workloads"]]},
        error=json.loads(row.error) if row.error else (job.error if given_up else None),
        submitted_by=row.submitted_by, submitted_at=row.submitted_at, job=row.job)


def _new_row(actor: Actor, spec: RunSpec, version: ReleasedVersion | None, simulators: dict[str, SimulatorView],
             ) -> RunRow:
    dataset = version and {"version": version.ref, "digest": version.digest, "columns": _columns(spec)}
    used = {use: {"name": simulator.name, "version": simulator.ref, "digest": simulator.digest}
            for use, simulator in simulators.items()}
    return RunRow(id=new_id("run"), project=actor.project, name=spec.name, state=RunState.QUEUED.value,
                  specification=json.dumps(spec.document), spec_digest=spec.digest, seed=spec.seed,
                  purpose=spec.data.purpose if spec.data else "", dataset=json.dumps(dataset) if dataset else None,
                  simulators=json.dumps(used), submitted_by=actor.name, trained_by=actor.person or actor.name,
                  submitted_at=datetime.now(UTC).isoformat())


def _columns(spec: RunSpec) -> list[str]:
    return list(dict.fromkeys(spec.data.columns.values())) if spec.data else []


def _key(actor: Actor, row: RunRow) -> str:
    inputs = json.dumps([row.spec_digest, row.dataset, row.simulators, actor.id], sort_keys=True)
    return f"{EXECUTE}:{hashlib.sha256(inputs.encode()).hexdigest()}"
