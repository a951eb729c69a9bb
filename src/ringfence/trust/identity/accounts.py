"""Account rows: found, made, shown. The verbs are in `service`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session as Rows

from ringfence.errors import ConflictError
from ringfence.storage.ids import new_id
from ringfence.trust.domain import Role
from ringfence.trust.identity.domain import Account, Kind
from ringfence.trust.identity.tables import AccountRow

_APPROVING = {Role.SECURITY_OFFICER.value}


def by_name(rows: Rows, name: str, project: str | None = None) -> AccountRow | None:
    """Return the account of that name, in that project if one is given."""
    row = rows.scalars(select(AccountRow).where(AccountRow.name == name)).first()
    return row if row is None or project is None or row.project == project else None


def people(rows: Rows) -> int:
    """Return how many persons' accounts there ever were."""
    return rows.scalar(select(func.count()).select_from(AccountRow).where(AccountRow.kind == "person")) or 0


def facts_for_new(rows: Rows, project: str, person: str) -> dict[str, Any]:
    """Return what policy must know to let an account be made.

    `officers` counts those disabled since, too: else disabling the last one would bring the first one's rule back.
    """
    accounts = list(rows.scalars(select(AccountRow).where(AccountRow.project == project)))
    held = {role for row in accounts if person and row.person == person and row.disabled_at is None
            for role in json.loads(row.roles)}
    officers = sum(1 for row in accounts if _APPROVING & set(json.loads(row.roles)))
    return {"person_roles": sorted(held), "officers": officers}


def add(rows: Rows, *, name: str, kind: Kind, roles: Sequence[str], project: str, person: str, password: str,
        ) -> AccountRow:
    """Add an account's row.

    Raises:
        ConflictError: the name is taken.
    """
    if by_name(rows, name):
        raise ConflictError("account.exists", f"There is an account {name} already.", field="name", value=name,
                            fix="Choose another name.")
    row = AccountRow(id=new_id("account"), name=name, kind=kind, roles=json.dumps(sorted(roles)), project=project,
                     person=person, password=password, created_at=time.time())
    rows.add(row)
    rows.flush()
    return row


def view(row: AccountRow) -> Account:
    """Return the account as it is shown."""
    return Account(row.id, row.name, row.kind, tuple(json.loads(row.roles)), row.person, row.project,
                   row.disabled_at is not None)
