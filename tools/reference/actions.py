"""Actions and the roles that allow them, from the shipped rules' data."""

from __future__ import annotations

import json
from typing import Any, get_args

from ringfence.trust.domain import Action, Outcome, Role
from tools.reference import ROOT
from tools.reference.markdown import code, codes, sentence, table
from tools.reference.markdown import page as whole

ROLES_FILE = "policies/roles/data.json"
# Done by whoever has no role yet, as the rules say in `policies/ringfence/decision.rego`: the credential proves itself.
WITHOUT_ROLE = frozenset({Action.PLATFORM_BOOTSTRAP, Action.ACCOUNT_LOGIN})


def shipped() -> dict[str, Any]:
    """Return the shipped data on roles."""
    data: dict[str, Any] = json.loads((ROOT / ROLES_FILE).read_text())
    return data


def roles_that_may(action: str) -> list[str]:
    """Return the roles that allow an action, in the order of `Role`."""
    allowed = shipped()["actions"]
    return [role.value for role in Role if action in allowed.get(role, ())]


def page() -> str:
    """Return the reference of actions and roles."""
    data = shipped()
    intro = (f"{sentence(Action.__doc__)} A role of the account must permit an action **and** no rule may deny it: see "
             f"[policies](policies.md). This is `{ROLES_FILE}`, as a table.")
    return whole(
        "Actions and roles", intro, "## Who may do what", _matrix(),
        "`platform.bootstrap` and `account.login` are for a caller who has no account yet: the one-time token, or the "
        "password, proves itself.",
        "## Roles that can't be held together",
        "Neither by one account, nor by several accounts of one person.",
        table(["Role", "Role", "Because"], [[*map(code, pair["roles"]), pair["why"]] for pair in data["conflicts"]]),
        "## Roles that approve",
        f"Granting one takes somebody who holds it, after the first: {codes(data['approving'])}.",
        "## What the worker does, and for whom",
        "A job acts as the worker, and only for an account that may still do itself what it asked for.",
        table(["The worker's action", "The account must be allowed"],
              [[code(name), code(asked)] for name, asked in data["on_behalf_of"].items()]),
        "## Outcomes", f"A record of the trail says how an action ended: {codes(get_args(Outcome))}.")


def _matrix() -> str:
    roles = list(Role)
    rows = [[code(action.value), *("●" if role in roles_that_may(action) else " " for role in roles)]
            for action in Action]
    return table(["Action", *(role.value.replace("_", " ") for role in roles)], rows)
