"""Reading the registry's rows."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.errors import InvalidError, MissingError
from ringfence.registry.domain import ModelRef, ModelView
from ringfence.registry.tables import ModelRow


def find(session: Session, project: str, ref: str) -> ModelRow:
    """Return the row that a reference means.

    Raises:
        InvalidError: it is no reference.
        MissingError: there is no such version in the project.
    """
    wanted = ModelRef.parse(ref)
    rows = select(ModelRow).where(ModelRow.project == project, ModelRow.name == wanted.name)
    if wanted.version is not None:
        rows = rows.where(ModelRow.version == wanted.version)
    row = session.scalars(rows.order_by(ModelRow.version.desc()).limit(1)).first()
    if row is None:
        raise MissingError("model.missing", f"There is no model {ref}.", field="model", value=ref,
                           fix="`ringfence model list` shows those that there are.")
    return row


def view(row: ModelRow) -> ModelView:
    """Return a row as the world sees it."""
    return ModelView(name=row.name, version=row.version, digest=row.digest, size=row.size, stage=row.stage,
                     run=row.run, kind=row.kind, observation_space=json.loads(row.observation_space),
                     action_space=json.loads(row.action_space), evaluation=json.loads(row.evaluation),
                     provenance=json.loads(row.provenance), trained_by=row.trained_by,
                     registered_at=row.registered_at)


def require_reason(reason: str) -> str:
    """Return the reason, stripped.

    Raises:
        InvalidError: it is empty or longer than 400 characters.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= 400:
        raise InvalidError("promotion.reason", "A reason of 1 to 400 characters is needed.", field="reason",
                           fix="Say in a sentence why: it stands in the audit trail.")
    return reason
