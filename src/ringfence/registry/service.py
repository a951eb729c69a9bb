"""The registry's verbs: register, list, show, download, verify, promote."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, MissingError, TamperedError, UnavailableError
from ringfence.registry import agent_format, package
from ringfence.registry.agent_format import AgentShape
from ringfence.registry.domain import ModelRef, ModelView, PackageReport, PromotionView, Stage
from ringfence.registry.promotion import Promotions
from ringfence.registry.rows import find, view
from ringfence.registry.tables import ModelRow
from ringfence.storage.blobs import BlobStore, Zone
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate
from ringfence.trust.keys.keys import Keys
from ringfence_workload.wire import memory

SIGNING = "models"


class RegistryService:
    """Model versions: immutable packages in the `models` zone, signed over digests computed here."""

    def __init__(self, gate: Gate, blobs: BlobStore, keys: Keys) -> None:
        self._gate, self._blobs, self._keys = gate, blobs, keys
        self._promotions = Promotions(gate, self._holds)

    def check_agent(self, description: bytes, tensors: bytes) -> AgentShape:
        """Return the shape of an agent that may be registered.

        Raises:
            InvalidError: it does not keep to the format.
        """
        return agent_format.check(description, tensors)

    def register(self, actor: Actor, *, name: str, run: str, content: Mapping[str, bytes], trained_by: str,
                 context: Mapping[str, Any]) -> ModelView:
        """Package, sign and record a run's agent as the next version of `name`; a run registered before keeps its own.

        `content` is agent.json, agent.safetensors, evaluation.json and provenance.json; `trained_by` the person
        behind the run; `context` the facts for policy.

        Raises:
            DeniedError: policy refused.
            InvalidError: the agent does not keep to the format; nothing is kept.
        """
        shape = agent_format.check(content["agent.json"], content["agent.safetensors"])
        facts = {**context, "run": run, "trained_by": trained_by}
        with self._gate.act(actor, Action.MODEL_REGISTER, Resource("model", name, actor.project), facts) as permit:
            row = permit.session.get(ModelRow, run)
            if row is None:
                new = ModelRow(run=run, project=actor.project, name=ModelRef.parse(name).name, trained_by=trained_by)
                row = self._add(permit.session, new, content, shape)
            permit.record(version=row.version, digest=row.digest)
            return view(row)

    def _add(self, session: Session, row: ModelRow, content: Mapping[str, bytes], shape: AgentShape) -> ModelRow:
        same = (ModelRow.project == row.project, ModelRow.name == row.name)
        row.version = (session.scalar(select(func.max(ModelRow.version)).where(*same)) or 0) + 1
        data = package.build(row.name, row.version, content, lambda signed: self._keys.sign(SIGNING, signed),
                             self.public_key())
        # Named by the run: what a crash leaves behind here, the run's next attempt replaces.
        stored = self._blobs.put(Zone.MODELS, _blob(row.run), data)
        row.digest, row.size, row.stage, row.kind = stored.digest, stored.size, Stage.REGISTERED.value, shape.kind
        row.observation_space = json.dumps(shape.observation_space)
        row.action_space = json.dumps(shape.action_space)
        row.evaluation, row.provenance = content["evaluation.json"].decode(), content["provenance.json"].decode()
        row.registered_at = datetime.now(UTC).isoformat()
        session.add(row)
        session.flush()
        return row

    def list(self, actor: Actor) -> list[ModelView]:
        """Return every version in the actor's project, by name and version."""
        with self._gate.read(actor, Action.MODEL_LIST, Resource("model", "*", actor.project)) as session:
            rows = select(ModelRow).where(ModelRow.project == actor.project).order_by(ModelRow.name, ModelRow.version)
            return [view(row) for row in session.scalars(rows)]

    def show(self, actor: Actor, ref: str) -> ModelView:
        """Return one version: `name@3`, or the latest of `name`.

        Raises:
            MissingError: there is none.
        """
        with self._gate.read(actor, Action.MODEL_SHOW, Resource("model", ref, actor.project)) as session:
            return view(find(session, actor.project, ref))

    def package(self, actor: Actor, ref: str) -> bytes:
        """Return a version's package, as it was signed.

        Raises:
            MissingError: there is none.
            TamperedError: what is stored is not what was registered.
        """
        with self._gate.read(actor, Action.MODEL_DOWNLOAD, Resource("model", ref, actor.project)) as session:
            row = find(session, actor.project, ref)
        return self._stored(row)

    def verify(self, actor: Actor, ref: str) -> PackageReport:
        """Verify the stored package of a version as anyone could offline."""
        return package.verify_package(self.package(actor, ref), self.public_key())

    def served_agent(self, actor: Actor, ref: str, context: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """Return the files of a production version, verified, for an endpoint to serve.

        Raises:
            ConflictError: the version is not in production.
            TamperedError: its signature or a digest does not hold.
        """
        with self._gate.read(actor, Action.MODEL_DOWNLOAD, Resource("model", ref, actor.project), context) as session:
            row = find(session, actor.project, ref)
        if row.stage != Stage.PRODUCTION:
            raise ConflictError("model.not_in_production", f"{ref} is at the stage {row.stage}, not in production.",
                                field="model", value=ref, fix="Have it promoted first: `ringfence model promote`.")
        data = self._stored(row)
        report = package.verify_package(data, self.public_key())
        if not report.valid:
            raise UnavailableError("model.unverified", f"{ref} is not served: {report.problem}",
                                   fix="Restore the model's package and the signing key from a backup.")
        return package.unpack(data)

    def request_promotion(self, actor: Actor, ref: str, stage: str, reason: str) -> PromotionView:
        """Ask that a version be promoted; the same person's open request for it is returned instead of a second.

        Raises:
            DeniedError: policy refused.
            ConflictError: another person's request for it is open.
            InvalidError: there is no way from the version's stage to `stage`, or no reason is given.
        """
        return self._promotions.request(actor, ref, stage, reason)

    def approve(self, actor: Actor, promotion: str, reason: str) -> PromotionView:
        """Approve a request and promote its version, in one transaction.

        Raises:
            DeniedError: policy refused: the role, the same person twice, a signature or figures that do not hold.
            ConflictError: the request was approved meanwhile.
        """
        return self._promotions.approve(actor, promotion, reason)

    def public_key(self) -> bytes:
        """Return the PEM public key that verifies packages offline."""
        return self._keys.public_key(SIGNING)


    def _stored(self, row: ModelRow) -> bytes:
        descriptor = self._blobs.open(Zone.MODELS, _blob(row.run), row.digest)
        try:
            return memory.read_all(descriptor, package.MAX_PACKAGE)
        finally:
            os.close(descriptor)

    def _holds(self, row: ModelRow) -> bool:
        try:
            return package.verify_package(self._stored(row), self.public_key()).valid
        except (TamperedError, MissingError):
            return False


def _blob(run: str) -> str:
    return f"model/{run}"
