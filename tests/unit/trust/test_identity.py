"""Accounts, sessions, keys, the bootstrap token, the worker's own account."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringfence.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    MissingError,
    RingfenceError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from ringfence.trust.domain import Actor
from ringfence.trust.identity import passwords
from ringfence.trust.identity.service import IdentityService
from tests.trusted import PASSWORD, Trusted, trusted


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trusted]:
    cheap = type(passwords._hasher)(time_cost=1, memory_cost=64, parallelism=1)  # what it costs is not what we test
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr(passwords, "_nobodys", [])
    with trusted(tmp_path) as made:
        yield made


@pytest.fixture
def ada(parts: Trusted) -> Actor:
    return parts.administrator()


def make(parts: Trusted, actor: Actor, name: str, *roles: str, **more: str) -> None:
    parts.identity.create_account(actor, name=name, kind="person", roles=roles, password=PASSWORD, **more)


# -- bootstrap --------------------------------------------------------------------------------------------------------


def test_the_token_is_a_private_file_that_stays_until_used(parts: Trusted) -> None:
    path = parts.identity.ensure_bootstrap_token()
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text()
    assert parts.identity.ensure_bootstrap_token().read_text() == token and len(token) > 40
    assert token.strip().encode() not in (parts.home / "ringfence.db").read_bytes()


def test_the_token_makes_one_administrator_and_is_gone(parts: Trusted) -> None:
    path = parts.identity.ensure_bootstrap_token()
    token = path.read_text().strip()
    ada = parts.identity.bootstrap(token, "ada", PASSWORD)
    assert (ada.roles, ada.kind, ada.person) == (frozenset({"platform_engineer"}), "person", "ada")
    assert not path.exists() and not parts.identity.ensure_bootstrap_token().exists()
    with pytest.raises(DeniedError, match="accounts already"):
        parts.identity.bootstrap(token, "eve", PASSWORD)
    assert token not in "\n".join(parts.export())


@pytest.mark.parametrize("token", ["", "guess", "x" * 43])
def test_a_wrong_token_makes_nothing_and_is_recorded(parts: Trusted, token: str) -> None:
    parts.identity.ensure_bootstrap_token()
    with pytest.raises(DeniedError, match="token"):
        parts.identity.bootstrap(token, "eve", PASSWORD)
    assert [record["outcome"] for record in parts.records()] == ["denied"]


def test_a_refused_name_or_password_leaves_the_token_good(parts: Trusted) -> None:
    token = parts.identity.ensure_bootstrap_token().read_text().strip()
    for name, password in (("Ada!", PASSWORD), ("ada", "short"), ("worker", PASSWORD), ("ada", "aaaaaaaaaaaaaaaa")):
        with pytest.raises(InvalidError):
            parts.identity.bootstrap(token, name, password)
    assert parts.identity.bootstrap(token, "ada", PASSWORD).name == "ada"


def test_an_hour_later_the_token_is_void_and_a_new_one_is_made(parts: Trusted) -> None:
    now = [time.time()]
    identity = IdentityService(parts.database, parts.gate, parts.keys, parts.home, clock=lambda: now[0])
    token = identity.ensure_bootstrap_token().read_text().strip()
    now[0] += 3601
    with pytest.raises(DeniedError, match="older than an hour"):
        identity.bootstrap(token, "ada", PASSWORD)
    fresh = identity.ensure_bootstrap_token().read_text().strip()
    assert fresh != token
    with pytest.raises(DeniedError):
        identity.bootstrap(token, "ada", PASSWORD)
    assert identity.bootstrap(fresh, "ada", PASSWORD)


def test_of_many_who_use_the_token_at_once_one_wins(parts: Trusted) -> None:
    token = parts.identity.ensure_bootstrap_token().read_text().strip()
    won: list[str] = []
    start = threading.Barrier(4)

    def attempt(name: str) -> None:
        start.wait()
        with suppress(DeniedError):
            won.append(parts.identity.bootstrap(token, name, PASSWORD).name)

    threads = [threading.Thread(target=attempt, args=(f"ada{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_token_file_that_others_may_read_is_refused(parts: Trusted) -> None:
    parts.identity.ensure_bootstrap_token().chmod(0o644)
    with pytest.raises(UnavailableError, match="Others than its owner"):
        parts.identity.ensure_bootstrap_token()


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_a_generated_password_is_shown_once_and_works(parts: Trusted, ada: Actor) -> None:
    made = parts.identity.create_account(ada, name="olga", kind="person", roles=["security_officer"])
    assert len(made.password) >= 30 and made.password not in repr(made)
    assert parts.identity.login("olga", made.password, "c").actor.roles == {"security_officer"}
    assert made.password not in "\n".join(parts.export())
    assert not any(hasattr(account, "password") for account in parts.identity.accounts(ada))


def test_a_service_account_has_no_password(parts: Trusted, ada: Actor) -> None:
    made = parts.identity.create_account(ada, name="bed", kind="service", roles=["endpoint_caller"], password="x" * 20)
    assert made.password == ""
    for guess in ("", "x" * 20):
        with pytest.raises(UnauthenticatedError):
            parts.identity.login("bed", guess, "c")


@pytest.mark.parametrize(("change", "code"), [
    ({"name": "Dan"}, "account.name"), ({"name": "dän"}, "account.name"), ({"name": "dan\u200b"}, "account.name"),
    ({"name": ""}, "account.name"), ({"name": "platform"}, "account.name"), ({"name": "x" * 64}, "account.name"),
    ({"roles": []}, "account.roles"), ({"roles": ["king"]}, "account.roles"), ({"kind": "robot"}, "account.kind"),
    ({"password": "short"}, "account.password"), ({"password": "x" * 257}, "account.password"),
    ({"password": "my name is dan!"}, "account.password"), ({"person": "x" * 121}, "account.person"),
    ({"person": "d\x00an"}, "account.person")])
def test_bad_accounts_are_refused(parts: Trusted, ada: Actor, change: dict, code: str) -> None:
    account = {"name": "dan", "kind": "person", "roles": ["viewer"], "password": PASSWORD, **change}
    with pytest.raises(InvalidError) as refused:
        parts.identity.create_account(ada, **account)
    assert refused.value.code == code and refused.value.fix
    assert [account.name for account in parts.identity.accounts(ada)] == ["ada"]


def test_a_name_is_taken_once(parts: Trusted, ada: Actor) -> None:
    make(parts, ada, "dan", "viewer")
    with pytest.raises(ConflictError, match="already"):
        make(parts, ada, "dan", "auditor")


@pytest.mark.parametrize("person", ["dan", "  Dan ", "DAN", "ＤＡＮ"])
def test_a_second_account_of_a_person_can_not_hold_a_conflicting_role(parts: Trusted, ada: Actor, person: str) -> None:
    make(parts, ada, "dan", "data_scientist")
    with pytest.raises(DeniedError, match="One person would hold"):
        make(parts, ada, "officer", "security_officer", person=person)
    make(parts, ada, "dan2", "viewer", person=person)
    assert {account.person for account in parts.identity.accounts(ada)} == {"ada", "dan"}


def test_the_administrator_makes_one_officer_and_no_second(parts: Trusted, ada: Actor) -> None:
    make(parts, ada, "olga", "security_officer")
    with pytest.raises(DeniedError, match="only a security officer"):
        make(parts, ada, "oscar", "security_officer")
    olga = parts.identity.login("olga", PASSWORD, "c").actor
    parts.identity.disable(olga, "olga")
    with pytest.raises(DeniedError, match="only a security officer"):
        make(parts, ada, "oscar", "security_officer")


def test_disabling_ends_sessions_and_keys_at_once(parts: Trusted, ada: Actor) -> None:
    make(parts, ada, "dan", "viewer")
    session = parts.identity.login("dan", PASSWORD, "c")
    parts.identity.create_account(ada, name="bed", kind="service", roles=["endpoint_caller"])
    key = parts.identity.create_key(ada, account="bed", scopes=[], days=1)
    assert parts.identity.actor_from_token(session.token) == session.actor
    for name in ("dan", "bed"):
        parts.identity.disable(ada, name)
        with pytest.raises(ConflictError):
            parts.identity.disable(ada, name)
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_token(session.token)
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_key(key.secret)
    with pytest.raises(UnauthenticatedError):
        parts.identity.login("dan", PASSWORD, "c")
    with pytest.raises(DeniedError):
        parts.identity.actor_by_id(session.actor.id)
    with pytest.raises(MissingError):
        parts.identity.disable(ada, "nobody")


# -- logging in -------------------------------------------------------------------------------------------------------


def test_a_wrong_name_and_a_wrong_password_look_the_same(parts: Trusted, ada: Actor) -> None:
    problems = []
    for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("' OR 1=1 --", "x"), ("ada", ""), ("ada\0", "x")):
        with pytest.raises(UnauthenticatedError) as refused:
            parts.identity.login(name, password, "192.0.2.1")
        problems.append(refused.value.as_problem())
    assert all(problem == problems[0] for problem in problems)


def test_what_was_typed_as_a_name_is_not_in_the_trail(parts: Trusted, ada: Actor) -> None:
    with pytest.raises(UnauthenticatedError):
        parts.identity.login("my secret pass phrase", "x", "c")
    assert "pass phrase" not in "\n".join(parts.export())
    assert parts.records()[-1]["outcome"] == "denied"


def test_guessing_is_slowed_for_the_guesser_and_nobody_else(parts: Trusted, ada: Actor) -> None:
    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            parts.identity.login("ada", "guess", "203.0.113.66")
    with pytest.raises(ThrottledError):
        parts.identity.login("ada", PASSWORD, "203.0.113.66")
    assert parts.identity.login("ada", PASSWORD, "192.0.2.1").actor == ada


def test_a_session_carries_the_roles_of_now(parts: Trusted, ada: Actor) -> None:
    session = parts.identity.login("ada", PASSWORD, "c")
    assert abs(session.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=30)
    assert session.token not in repr(session)
    assert parts.identity.actor_from_token(session.token) == ada


def test_an_outdated_hash_is_renewed_at_login(parts: Trusted, ada: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", type(passwords._hasher)(time_cost=2, memory_cost=64, parallelism=1))
    before = (parts.home / "ringfence.db-wal").read_bytes()
    parts.identity.login("ada", PASSWORD, "c")
    assert b"t=2,p=1" in (parts.home / "ringfence.db-wal").read_bytes() and b"t=2,p=1" not in before
    assert parts.identity.login("ada", PASSWORD, "c").actor == ada


# -- API keys ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bed(parts: Trusted, ada: Actor) -> str:
    return parts.identity.create_account(ada, name="bed", kind="service", roles=["endpoint_caller"]).name


def test_a_key_stands_for_its_account_narrowed_to_its_scopes(parts: Trusted, ada: Actor, bed: str) -> None:
    key = parts.identity.create_key(ada, account=bed, scopes=["endpoint.ask:icu"], days=2)
    actor = parts.identity.actor_from_key(key.secret)
    assert (actor.name, actor.kind, actor.scopes) == ("bed", "service", {"endpoint.ask:icu"})
    assert key.secret.startswith("rf_") and key.secret not in repr(key)
    everything = "\n".join(parts.export()).encode() + b"".join(p.read_bytes() for p in parts.home.glob("ringfence.db*"))
    assert key.secret.encode() not in everything and key.secret[3:].encode() not in everything


def test_a_revoked_key_is_void_at_once(parts: Trusted, ada: Actor, bed: str) -> None:
    one, two = (parts.identity.create_key(ada, account=bed, scopes=[], days=2) for _ in range(2))
    parts.identity.revoke_key(ada, one.id)
    parts.identity.revoke_key(ada, one.id)
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_key(one.secret)
    assert parts.identity.actor_from_key(two.secret).name == "bed"
    with pytest.raises(MissingError):
        parts.identity.revoke_key(ada, "key-nothing")


def test_a_key_ends(parts: Trusted, ada: Actor, bed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = parts.identity.create_key(ada, account=bed, scopes=[], days=1)
    later = time.time() + 86_401
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_key(key.secret)


@pytest.mark.parametrize(("scopes", "days", "code"), [
    (["everything"], 1, "key.scope"), (["endpoint.ask:"], 1, "key.scope"), (["endpoint.ask:a b"], 1, "key.scope"),
    ([], 0, "key.days"), ([], 366, "key.days"), ([], -1, "key.days")])
def test_bad_keys_are_refused(parts: Trusted, ada: Actor, bed: str, scopes: list[str], days: int, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parts.identity.create_key(ada, account=bed, scopes=scopes, days=days)
    assert refused.value.code == code


def test_nobody_makes_a_key_to_act_as_a_person_or_as_the_worker(parts: Trusted, ada: Actor) -> None:
    make(parts, ada, "olga", "security_officer")
    parts.identity.ensure_worker()
    for account in ("olga", "ada", "worker"):
        with pytest.raises(DeniedError):
            parts.identity.create_key(ada, account=account, scopes=[], days=1)
    with pytest.raises(MissingError):
        parts.identity.create_key(ada, account="nobody", scopes=[], days=1)


@pytest.mark.parametrize("secret", ["", "rf_", "rf_" + "0" * 64, "rf_" + "g" * 64, "rf_' OR 1=1", "rf_" + "0" * 65])
def test_a_made_up_key_is_refused(parts: Trusted, secret: str) -> None:
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_key(secret)


# -- the worker -------------------------------------------------------------------------------------------------------


def test_the_worker_is_made_once_and_authenticates_with_its_file(parts: Trusted) -> None:
    parts.identity.ensure_worker()
    path = parts.home / "worker.key"
    first = path.read_bytes()
    parts.identity.ensure_worker()
    assert path.read_bytes() == first and path.stat().st_mode & 0o777 == 0o600
    worker = parts.identity.service_actor("worker")
    assert (worker.name, worker.kind, worker.roles) == ("worker", "service", {"worker"})
    assert [record["action"] for record in parts.records()] == ["account.create"]


def test_a_lost_worker_key_is_replaced_and_the_old_one_void(parts: Trusted) -> None:
    parts.identity.ensure_worker()
    old = (parts.home / "worker.key").read_text().strip()
    (parts.home / "worker.key").unlink()
    with pytest.raises(MissingError):
        parts.identity.service_actor("worker")
    parts.identity.ensure_worker()
    assert parts.identity.service_actor("worker").name == "worker"
    with pytest.raises(UnauthenticatedError):
        parts.identity.actor_from_key(old)


def test_a_worker_key_that_others_may_read_is_refused(parts: Trusted) -> None:
    parts.identity.ensure_worker()
    (parts.home / "worker.key").chmod(0o640)
    for use in (parts.identity.ensure_worker, lambda: parts.identity.service_actor("worker")):
        with pytest.raises(UnavailableError, match="Others than its owner"):
            use()


def test_nobody_disables_the_worker_or_asks_for_another_service(parts: Trusted, ada: Actor) -> None:
    parts.identity.ensure_worker()
    with pytest.raises(RingfenceError):
        parts.identity.disable(ada, "worker")
    with pytest.raises(MissingError):
        parts.identity.service_actor("ada")
