"""Promotion: one person asks, another approves, and policy sees the figures, the people and the signature."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, MissingError
from ringfence.registry.domain import PromotionState, PromotionView, is_better, require_promotable
from ringfence.registry.rows import find, require_reason
from ringfence.registry.tables import ModelRow, PromotionRow
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate


class Promotions:
    """Moves a version to a further stage, by two people. `holds` says whether a version's package verifies."""

    def __init__(self, gate: Gate, holds: Callable[[ModelRow], bool]) -> None:
        self._gate, self._holds = gate, holds

    def request(self, actor: Actor, ref: str, stage: str, reason: str) -> PromotionView:
        """See `RegistryService.request_promotion`."""
        reason = require_reason(reason)
        with self._looking(actor, ref) as session:
            facts = self._facts(find(session, actor.project, ref))
        resource = Resource("model", facts["model"], actor.project)
        with self._gate.act(actor, Action.MODEL_REQUEST_PROMOTION, resource, {**facts, "stage": stage}) as permit:
            model = find(permit.session, actor.project, facts["model"])
            require_promotable(model.stage, stage)
            row = (_open_request(permit.session, model.run, stage)
                   or _requested(permit.session, actor, model, stage, reason))
            if row.requested_by != actor.name:
                raise ConflictError("promotion.open", f"{row.requested_by} has asked for that already ({row.id}).",
                                    field="model", value=ref, fix="Have that request approved.")
            permit.record(promotion=row.id, reason=reason)
            return _view(row)

    def approve(self, actor: Actor, identifier: str, reason: str) -> PromotionView:
        """See `RegistryService.approve`."""
        reason = require_reason(reason)
        with self._looking(actor, identifier) as session:
            asked = _request(session, actor.project, identifier)
            facts = self._facts(find(session, actor.project, asked.model))
        facts |= {"stage": asked.stage, "requested_by": asked.requested_person, "promotion": identifier}
        resource = Resource("model", asked.model, actor.project)
        with self._gate.act(actor, Action.MODEL_PROMOTE, resource, facts) as permit:
            row = _request(permit.session, actor.project, identifier)
            model = find(permit.session, actor.project, row.model)
            if row.state != PromotionState.REQUESTED or model.digest != facts["digest"]:
                raise ConflictError("promotion.closed", f"{identifier} is {row.state}: it can't be approved again.",
                                    field="promotion", value=identifier, fix="Nothing is left to do for this request.")
            model.stage = require_promotable(model.stage, row.stage).value
            row.state, row.approval = PromotionState.APPROVED.value, reason
            row.approved_by, row.approved_person, row.approved_at = actor.name, _person(actor), _now()
            permit.record(reason=reason, requested_by=row.requested_by)
            return _view(row)

    def _looking(self, actor: Actor, name: str) -> AbstractContextManager[Session]:
        """Open a snapshot to gather facts from: whether there is such a version at all is for those who may see it."""
        return self._gate.read(actor, Action.MODEL_SHOW, Resource("model", name[:80], actor.project))

    def _facts(self, model: ModelRow) -> dict[str, Any]:
        """Return what policy is told of a version: who trained it, whether its signature holds, its figures."""
        evaluation = json.loads(model.evaluation)
        return {"model": f"{model.name}@{model.version}", "digest": model.digest, "trained_by": model.trained_by,
                "signature_valid": self._holds(model), "current_stage": model.stage,
                "evaluation": evaluation.get("evaluation", {}), "better_than_behaviour": is_better(evaluation)}


def _requested(session: Session, actor: Actor, model: ModelRow, stage: str, reason: str) -> PromotionRow:
    row = PromotionRow(id=new_id("promotion"), run=model.run, project=model.project, stage=stage, reason=reason,
                       model=f"{model.name}@{model.version}", state=PromotionState.REQUESTED.value,
                       requested_by=actor.name, requested_person=_person(actor), requested_at=_now(), approved_by="")
    session.add(row)
    session.flush()
    return row


def _open_request(session: Session, run: str, stage: str) -> PromotionRow | None:
    return session.scalars(select(PromotionRow).where(
        PromotionRow.run == run, PromotionRow.stage == stage,
        PromotionRow.state == PromotionState.REQUESTED.value)).first()


def _request(session: Session, project: str, identifier: str) -> PromotionRow:
    row = session.get(PromotionRow, identifier)
    if row is None or row.project != project:
        raise MissingError("promotion.missing", f"There is no request {identifier}.", field="promotion",
                           value=identifier, fix="Ask for the promotion first: `ringfence model promote`.")
    return row


def _view(row: PromotionRow) -> PromotionView:
    return PromotionView(row.id, row.model, row.stage, row.state, row.reason, row.requested_by, row.approved_by or "")


def _person(actor: Actor) -> str:
    return actor.person or actor.name


def _now() -> str:
    return datetime.now(UTC).isoformat()
