"""The values of identity, and what names, passwords and scopes may be. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ringfence.errors import InvalidError
from ringfence.trust.domain import Action, Actor, Role

Kind = Literal["person", "service"]
SHORTEST, LONGEST = 12, 256
RESERVED = frozenset({"anonymous", "platform", "worker", "root"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_RESOURCE = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._@-]{0,100}", re.ASCII)


@dataclass(frozen=True)
class Account:
    """An account as it is shown."""

    id: str
    name: str
    kind: str
    roles: tuple[str, ...]
    person: str
    project: str
    disabled: bool


@dataclass(frozen=True)
class NewAccount(Account):
    """An account just made. `password` is the generated one, shown this once; empty if the caller chose it."""

    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class NewKey:
    """An API key just made; `secret` is shown this once."""

    id: str
    account: str
    scopes: tuple[str, ...]
    expires_at: datetime
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """A login: the token to send, when it ends, and whom it stands for."""

    token: str = field(repr=False)
    expires_at: datetime
    actor: Actor


def require_name(name: str) -> str:
    """Return an account's name.

    Raises:
        InvalidError: it is not made of 1 to 63 lower-case letters, digits and ._- or is reserved.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InvalidError("account.name", "An account's name is made of 1 to 63 lower-case letters, digits and ._-",
                           field="name", value=name[:80], fix=f"Choose another; reserved are {_listed(RESERVED)}.")
    return name


def require_password(password: str, name: str) -> str:
    """Return the password.

    Raises:
        InvalidError: it is shorter than 12 or longer than 256 characters, or holds the account's name.
    """
    if not SHORTEST <= len(password) <= LONGEST or name.casefold() in password.casefold() or len(set(password)) < 5:
        raise InvalidError("account.password", f"A password has {SHORTEST} to {LONGEST} characters, at least 5 of them "
                           "different, and does not hold the account's name.", field="password",
                           fix="Choose another, or leave it out to have one made.")
    return password


def require_kind(kind: str) -> str:
    """Return the kind of account.

    Raises:
        InvalidError: it is neither a person's nor a service's.
    """
    if kind not in ("person", "service"):
        raise InvalidError("account.kind", "An account is a person's or a service's.", field="kind", value=kind[:40],
                           fix="Say person or service.")
    return kind


def require_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Return the roles, sorted, each once.

    Raises:
        InvalidError: there is none, or one is not known.
    """
    known = {role.value for role in Role}
    unknown = sorted({str(role) for role in roles} - known)
    if unknown or not roles:
        raise InvalidError("account.roles", f"There is no role {unknown[0][:40]}." if unknown else "Name a role.",
                           field="roles", value=unknown[0][:40] if unknown else "", fix=f"Roles are {_listed(known)}.")
    return tuple(sorted({str(role) for role in roles}))


def require_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes, sorted: `action` or `action:resource`.

    Raises:
        InvalidError: one is neither.
    """
    known = {action.value for action in Action}
    for scope in scopes:
        action, colon, resource = scope.partition(":")
        if action not in known or (colon and not _RESOURCE.fullmatch(resource)):
            raise InvalidError("key.scope", "A scope is an action, or an action and a resource: endpoint.ask:icu.",
                               field="scopes", value=scope[:80], fix="See the list of actions in the reference.")
    return tuple(sorted(set(scopes)))


def fold_person(person: str) -> str:
    """Return the one spelling of a person's name by which two accounts are known to be one person's."""
    return " ".join(unicodedata.normalize("NFKC", person[:400]).casefold().split())


def require_person(folded: str) -> str:
    """Return a folded name.

    Raises:
        InvalidError: it is longer than 120 characters or holds control characters.
    """
    if len(folded) > 120 or not folded.isprintable():
        raise InvalidError("account.person", "A person's name is at most 120 printable characters long.",
                           field="person", fix="Shorten it.")
    return folded


def _listed(words: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(words))
