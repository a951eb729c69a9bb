"""The verbs of identity. Who calls proves themselves here; what they may do is read from their account each time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from ringfence.errors import ConflictError, DeniedError, InvalidError, MissingError, UnauthenticatedError
from ringfence.storage.database import Database
from ringfence.trust import private_files
from ringfence.trust.domain import Action, Actor, Resource, Role
from ringfence.trust.gate import Gate
from ringfence.trust.identity import accounts, actors, passwords
from ringfence.trust.identity.api_keys import ApiKeys
from ringfence.trust.identity.bootstrap import BootstrapToken
from ringfence.trust.identity.domain import (
    Account,
    Kind,
    NewAccount,
    NewKey,
    Session,
    fold_person,
    require_kind,
    require_name,
    require_password,
    require_person,
    require_roles,
    require_scopes,
)
from ringfence.trust.identity.tables import AccountRow, KeyRow
from ringfence.trust.identity.throttle import Throttle
from ringfence.trust.identity.tokens import Tokens
from ringfence.trust.keys.keys import Keys

WORKER = "worker"
_WORKER_DAYS = 3650


class IdentityService:
    """`home` is the platform's private folder: the bootstrap token and the worker's key are files in it."""

    def __init__(self, database: Database, gate: Gate, keys: Keys, home: Path, *, project: str = "default",
                 clock: Callable[[], float] = time.time) -> None:
        self._database, self._gate, self._home, self._project, self._clock = database, gate, home, project, clock
        self._tokens, self._api_keys, self._throttle = Tokens(keys, clock), ApiKeys(keys), Throttle()
        self._bootstrap = BootstrapToken(database, home / "bootstrap-token", self._api_keys.digest, clock)

    # -- the first account -----------------------------------------------------------------------------------------

    def ensure_bootstrap_token(self) -> Path:
        """Return where the token for the first account is; there is no file once there are accounts.

        Raises:
            UnavailableError: the file can't be written, or others may read it.
        """
        return self._bootstrap.ensure()

    def bootstrap(self, token: str, name: str, password: str) -> Actor:
        """Make the first account, a platform engineer's, and use the token up.

        Raises:
            DeniedError: the token does not hold, or there are accounts.
            InvalidError: the name or the password can't be taken; the token stays good.
        """
        with self._database.reading() as rows:
            facts = {"token_valid": self._bootstrap.good(rows, token), "accounts": accounts.people(rows)}
        actor, resource = actors.anonymous(self._project), Resource("platform", "accounts", self._project)
        with self._gate.act(actor, Action.PLATFORM_BOOTSTRAP, resource, facts) as permit:
            hashed = passwords.hashed(require_password(password, require_name(name)))
            self._bootstrap.consume(permit.session, token)
            row = accounts.add(permit.session, name=name, kind="person", roles=[Role.PLATFORM_ENGINEER],
                               project=self._project, person=name, password=hashed)
            permit.record(account=row.id, name=name)
        self._bootstrap.remove()
        return actors.of_account(row)

    # -- accounts --------------------------------------------------------------------------------------------------

    def create_account(self, actor: Actor, *, name: str, kind: Kind, roles: Sequence[str],
                       password: str | None = None, person: str = "") -> NewAccount:
        """Make an account. A person without a password gets a random one; a service has none, only API keys.

        Raises:
            DeniedError: policy refused.
            InvalidError: the name, a role, the password or the person can't be taken.
            ConflictError: the name is taken.
        """
        who = fold_person(person or name) if kind == "person" else ""
        asked = [str(role) for role in roles]
        with self._database.reading() as rows:
            facts = {"roles": asked, "kind": kind, **accounts.facts_for_new(rows, actor.project, who)}
        with self._gate.act(actor, Action.ACCOUNT_CREATE, _account(actor, name), facts) as permit:
            require_kind(kind)
            if facts != {**facts, **accounts.facts_for_new(permit.session, actor.project, who)}:
                raise ConflictError("account.changed", "The accounts have changed meanwhile.", fix="Try again.")
            wanted, hashed, shown = require_roles(asked), "", ""
            require_name(name)
            require_person(who)
            if kind == "person":
                shown = "" if password else passwords.generate()
                hashed = passwords.hashed(require_password(password or shown, name))
            row = accounts.add(permit.session, name=name, kind=kind, roles=wanted, project=actor.project, person=who,
                               password=hashed)
            permit.record(account=row.id)
        return NewAccount(**vars(accounts.view(row)), password=shown)

    def accounts(self, actor: Actor) -> list[Account]:
        """Return the project's accounts, by name."""
        with self._gate.read(actor, Action.ACCOUNT_LIST, Resource("account", "*", actor.project)) as rows:
            query = select(AccountRow).where(AccountRow.project == actor.project).order_by(AccountRow.name)
            return [accounts.view(row) for row in rows.scalars(query)]

    def disable(self, actor: Actor, name: str) -> None:
        """End an account: its sessions and keys stop working at once.

        Raises:
            MissingError: there is no such account in the project.
            ConflictError: it is disabled already.
        """
        with self._database.reading() as rows:
            found = accounts.by_name(rows, name, actor.project)
        facts = {"roles": json.loads(found.roles) if found else []}
        with self._gate.act(actor, Action.ACCOUNT_DISABLE, _account(actor, name), facts) as permit:
            row = accounts.by_name(permit.session, name, actor.project)
            if row is None or row.name == WORKER:
                raise _no_account(name)
            if row.disabled_at is not None:
                raise ConflictError("account.already_disabled", f"The account {name} is disabled already.",
                                    field="name", value=name, fix="Nothing is left to do.")
            row.disabled_at = self._clock()
            query = update(KeyRow).where(KeyRow.account == row.id, KeyRow.revoked_at.is_(None))
            permit.session.execute(query.values(revoked_at=self._clock()))
            permit.record(account=row.id)

    # -- proving who one is ----------------------------------------------------------------------------------------

    def login(self, name: str, password: str, client: str) -> Session:
        """Return a session for the right password. `client` is the caller's address.

        Raises:
            UnauthenticatedError: the name or the password is wrong, or the account is disabled: it is not said which.
            ThrottledError: too many failures from this address.
        """
        name = name[:80]
        self._throttle.check(name, client)
        with self._database.reading() as rows:
            found = accounts.by_name(rows, name)
        proved = passwords.holds(found.password if found else "", password[:1024])
        if found is None or not proved or found.disabled_at is not None:
            self._throttle.failed(name, client)
            return self._refused_login(found, name)
        nobody, facts = actors.anonymous(found.project), {"proved": True}
        with self._gate.act(nobody, Action.ACCOUNT_LOGIN, _account(nobody, found.name), facts) as permit:
            row = permit.session.get_one(AccountRow, found.id)
            if row.disabled_at is not None:
                raise _wrong_login()
            if passwords.outdated(row.password):
                row.password = passwords.hashed(password)
            permit.record(account=row.id)
        self._throttle.succeeded(name, client)
        token, ends = self._tokens.make(row.id)
        return Session(token, datetime.fromtimestamp(ends, UTC), actors.of_account(row))

    def actor_from_token(self, token: str) -> Actor:
        """Return whom a session token stands for, with the roles that the account has now.

        Raises:
            UnauthenticatedError: the token does not hold, or the account is disabled.
        """
        account = self._tokens.account(token)
        with self._database.reading() as rows:
            row = rows.get(AccountRow, account)
        if row is None or row.disabled_at is not None:
            raise UnauthenticatedError("session.ended", "The account of this session is disabled.",
                                       fix="Ask an administrator.")
        return actors.of_account(row)

    def actor_from_key(self, secret: str) -> Actor:
        """Return whom an API key stands for, narrowed to its scopes.

        Raises:
            UnauthenticatedError: the key does not hold.
        """
        with self._database.reading() as rows:
            return self._api_keys.actor(rows, secret)

    def actor_by_id(self, identifier: str) -> Actor:
        """Return an account's actor as it stands now, to act on its behalf: the platform's own code asks.

        Raises:
            DeniedError: the account is gone or disabled.
        """
        with self._database.reading() as rows:
            row = rows.get(AccountRow, identifier)
        if row is None or row.disabled_at is not None:
            raise DeniedError("account.disabled", "The account that asked for this is disabled.",
                              fix="Have an account that is enabled ask for it.", value=identifier)
        return actors.of_account(row)

    # -- API keys --------------------------------------------------------------------------------------------------

    def create_key(self, actor: Actor, *, account: str, scopes: Sequence[str], days: int) -> NewKey:
        """Make an API key for a service account.

        Raises:
            DeniedError: policy refused; a key for a person is always refused.
            InvalidError: a scope or the number of days (1 to 365) can't be taken.
            MissingError: there is no such account, or it is disabled.
        """
        with self._database.reading() as rows:
            found = accounts.by_name(rows, account, actor.project)
        facts: dict[str, Any] = {"account": account[:80], "scopes": list(scopes), "days": days,
                                 "account_kind": found.kind if found else "service",
                                 "account_roles": json.loads(found.roles) if found else []}
        with self._gate.act(actor, Action.KEY_CREATE, Resource("key", account[:80], actor.project), facts) as permit:
            wanted = require_scopes(scopes)
            if not 1 <= days <= 365:
                raise InvalidError("key.days", "A key lives 1 to 365 days.", field="days", value=str(days))
            row = accounts.by_name(permit.session, account, actor.project)
            if row is None or row.disabled_at is not None:
                raise _no_account(account)
            key, secret = self._api_keys.make(permit.session, row, wanted, days)
            permit.record(key=key.id, account=row.id)
        return NewKey(key.id, account, wanted, datetime.fromtimestamp(key.expires_at, UTC), secret)

    def revoke_key(self, actor: Actor, identifier: str) -> None:
        """End an API key at once; one that has ended stays so.

        Raises:
            MissingError: there is no such key in the project.
        """
        with self._gate.act(actor, Action.KEY_REVOKE, Resource("key", identifier[:80], actor.project)) as permit:
            key = permit.session.get(KeyRow, identifier)
            owner = permit.session.get(AccountRow, key.account) if key else None
            if key is None or owner is None or owner.project != actor.project or owner.name == WORKER:
                raise MissingError("key.missing", f"There is no key {identifier[:80]}.", field="key",
                                   value=identifier[:80], fix="Look for its id where it was made.")
            key.revoked_at = key.revoked_at or self._clock()
            permit.record(account=owner.id)

    # -- the platform's own account --------------------------------------------------------------------------------

    def ensure_worker(self) -> None:
        """Make the account `worker` and its key file, unless they are there and hold."""
        if self._worker_holds():
            return
        facts = {"roles": [Role.WORKER.value], "kind": "service", "person_roles": [], "officers": 0}
        resource = Resource("account", WORKER, self._project)
        with self._gate.act(actors.platform(self._project), Action.ACCOUNT_CREATE, resource, facts) as permit:
            rows = permit.session
            row = accounts.by_name(rows, WORKER) or accounts.add(
                rows, name=WORKER, kind="service", roles=[Role.WORKER], project=self._project, person="", password="")
            rows.execute(update(KeyRow).where(KeyRow.account == row.id).values(revoked_at=self._clock()))
            key, secret = self._api_keys.make(rows, row, (), _WORKER_DAYS)
            private_files.write(self._worker_file, f"{secret}\n".encode())
            permit.record(account=row.id, key=key.id)

    def service_actor(self, name: str) -> Actor:
        """Return the platform's own service account, authenticated by its key file.

        Raises:
            MissingError: there is no such account.
            UnauthenticatedError: the file's key does not hold.
            UnavailableError: others may read the file.
        """
        if name != WORKER:
            raise MissingError("account.missing", f"The platform has no service account {name}.", value=name)
        return self.actor_from_key(private_files.read(self._worker_file).decode().strip())

    @property
    def _worker_file(self) -> Path:
        return self._home / "worker.key"

    def _worker_holds(self) -> bool:
        try:
            self.service_actor(WORKER)
        except (MissingError, UnauthenticatedError):
            return False
        return True

    def _refused_login(self, found: AccountRow | None, name: str) -> Session:
        """Record the failure; an unknown name, which may be a mistyped password, as a keyed digest only."""
        resource = Resource("account", found.name if found else "unknown", self._project)
        facts = {"proved": False, "name_digest": self._api_keys.digest(name)[:16]}
        try:
            with self._gate.act(actors.anonymous(self._project), Action.ACCOUNT_LOGIN, resource, facts):
                pass
        except DeniedError:
            pass
        raise _wrong_login()


def _account(actor: Actor, name: str) -> Resource:
    return Resource("account", name[:80], actor.project)


def _no_account(name: str) -> MissingError:
    return MissingError("account.missing", f"There is no account {name[:80]}.", field="name", value=name[:80],
                        fix="List them with `ringfence account list`.")


def _wrong_login() -> UnauthenticatedError:
    return UnauthenticatedError("session.credentials", "The name or the password is wrong, or the account is disabled.",
                                fix="Check both; an administrator can make a new account.")
