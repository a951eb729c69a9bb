"""The endpoints' verbs. Agents are served by the process that is asked: the API server."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import MissingError, RingfenceError
from ringfence.registry.domain import ModelView
from ringfence.sandbox.sandbox import Sandbox
from ringfence.serving.domain import EndpointView, Guard, require_name
from ringfence.serving.served import ServedAgent
from ringfence.serving.tables import EndpointRow
from ringfence.storage.database import Database
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate
from ringfence.trust.keys.keys import Keys

log = logging.getLogger(__name__)


class RegistryPort(Protocol):
    """Where served agents come from."""

    def show(self, actor: Actor, ref: str) -> ModelView:
        """Return a model version."""

    def served_agent(self, actor: Actor, ref: str, context: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """Return the verified files of a production version."""


class EndpointService:
    """Endpoints of a project. `worker` gives the platform's own account, in whose name a dead agent is started anew."""

    def __init__(self, gate: Gate, database: Database, sandbox: Sandbox, registry: RegistryPort, *, keys: Keys,
                 worker: Callable[[], Actor]) -> None:
        self._gate, self._database, self._sandbox, self._registry = gate, database, sandbox, registry
        self._keys, self._worker = keys, worker
        self._lock = threading.Lock()
        self._agents: dict[tuple[str, str, str], ServedAgent] = {}

    def deploy(self, actor: Actor, name: str, model_ref: str) -> EndpointView:
        """Serve a production version under `name`, in place of what was served there before.

        Its fence is started first: an agent that can't be served is not deployed.

        Raises:
            DeniedError: policy refused: the role, or the version is not in production.
            ConflictError, UnavailableError: the version is not in production, or can't be served.
        """
        model = self._registry.show(actor, model_ref)
        resource = Resource("endpoint", require_name(name), actor.project)
        facts = {"model": model.ref, "digest": model.digest, "stage": model.stage}
        with self._gate.intend(actor, Action.ENDPOINT_DEPLOY, resource, facts) as intent:
            row = EndpointRow(project=actor.project, name=name, model=model.ref, digest=model.digest,
                              observation_space=json.dumps(model.observation_space), deployed_by=actor.name,
                              action_space=json.dumps(model.action_space), deployed_at=datetime.now(UTC).isoformat())
            self._agent(row).start()
            with intent.completing() as session:
                merged = session.merge(row)
                session.flush()
                view = _view(merged)
        self._end_others(row)
        return view

    def list(self, actor: Actor) -> builtins.list[EndpointView]:
        """Return the endpoints of the actor's project, by name."""
        with self._gate.read(actor, Action.ENDPOINT_LIST, Resource("endpoint", "*", actor.project)) as session:
            rows = select(EndpointRow).where(EndpointRow.project == actor.project).order_by(EndpointRow.name)
            return [_view(row) for row in session.scalars(rows)]

    def show(self, actor: Actor, name: str) -> EndpointView:
        """Return one endpoint.

        Raises:
            MissingError: there is none of that name.
        """
        with self._gate.read(actor, Action.ENDPOINT_SHOW, Resource("endpoint", name[:80], actor.project)) as session:
            return _view(_row(session, actor.project, name))

    def ask(self, actor: Actor, endpoint: str, observations: builtins.list[Any]) -> builtins.list[Any]:
        """Return one action for each observation.

        The record of the call holds a keyed digest of the observations, never a value of one.

        Raises:
            InvalidError: an observation is not in the agent's space; `field` names it.
            MissingError: there is no such endpoint.
            UnavailableError: the agent is down; the next request starts it anew.
        """
        facts = {"rows": len(observations), "observations": self._digest(endpoint, observations)}
        resource = Resource("endpoint", endpoint[:80], actor.project)
        with self._gate.read(actor, Action.ENDPOINT_ASK, resource, facts) as session:
            row = _row(session, actor.project, endpoint)
        return self._agent(row).ask(observations)

    def start(self) -> None:
        """Start every endpoint's agent ahead of its first request; one that fails is tried again when it is asked."""
        with self._database.reading() as session:
            rows = builtins.list(session.scalars(select(EndpointRow)))
        for row in rows:
            try:
                self._agent(row).start()
            except RingfenceError as error:
                log.error("the endpoint %s does not start: %s", row.name, error.line())

    def close(self) -> None:
        """End every served agent of this process."""
        with self._lock:
            agents, self._agents = builtins.list(self._agents.values()), {}
        for agent in agents:
            agent.close()

    def _agent(self, row: EndpointRow) -> ServedAgent:
        key = (row.project, row.name, row.model)
        with self._lock:
            if key not in self._agents:
                guard = Guard(json.loads(row.observation_space), json.loads(row.action_space))
                self._agents[key] = ServedAgent(self._sandbox, row.name, guard, self._files(row.name, row.model))
            return self._agents[key]

    def _files(self, endpoint: str, model: str) -> Callable[[], Mapping[str, bytes]]:
        return lambda: self._registry.served_agent(self._worker(), model, {"endpoint": endpoint})

    def _end_others(self, row: EndpointRow) -> None:
        with self._lock:
            old = [key for key in self._agents if key[:2] == (row.project, row.name) and key[2] != row.model]
            agents = [self._agents.pop(key) for key in old]
        for agent in agents:
            agent.close()

    def _digest(self, endpoint: str, observations: Any) -> str:
        # Keyed: a plain digest of one state out of a few hundred would tell which.
        text = json.dumps(observations, separators=(",", ":")).encode()
        return hmac.new(self._keys.derive("inference", endpoint), text, hashlib.sha256).hexdigest()


def _row(session: Session, project: str, name: str) -> EndpointRow:
    row = session.get(EndpointRow, (project, name))
    if row is None:
        raise MissingError("endpoint.missing", f"There is no endpoint {name[:80]}.", field="endpoint", value=name[:80],
                           fix="`ringfence endpoint list` shows those that there are.")
    return row


def _view(row: EndpointRow) -> EndpointView:
    return EndpointView(row.name, row.model, row.digest, json.loads(row.observation_space),
                        json.loads(row.action_space), row.deployed_by, row.deployed_at)
