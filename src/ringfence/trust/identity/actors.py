"""The only place where actors come into being: from an account's row, whose owner has proved themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ringfence.trust.domain import Actor
from ringfence.trust.identity.domain import Kind
from ringfence.trust.identity.tables import AccountRow


def of_account(row: AccountRow, scopes: Sequence[str] = ()) -> Actor:
    """Return the actor of an account as it stands now, narrowed to `scopes` if there are any."""
    kind: Kind = "person" if row.kind == "person" else "service"
    return Actor(row.id, row.name, kind, frozenset(json.loads(row.roles)), row.project, row.person, frozenset(scopes))


def anonymous(project: str) -> Actor:
    """Return the actor of someone who has proved nothing yet."""
    return Actor("anonymous", "", "anonymous", frozenset(), project)


def platform(project: str) -> Actor:
    """Return the actor of the platform's own process, which makes its own service account and nothing else."""
    return Actor("platform", "platform", "workload", frozenset(), project)
