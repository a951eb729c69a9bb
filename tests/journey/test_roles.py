"""Who may do what, from a raw file to an answer: each role its own part, two people for what matters, nobody else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import small_world
from ringfence_command import Home
from running_platform import (
    CALLER,
    ENGINEER,
    MLOPS,
    OFFICER,
    PASSWORD,
    SCIENTIST,
    STEWARD,
    VIEWER,
    WRITER,
    Platform,
    the_line,
)

from ringfence.errors import DeniedError, UnauthenticatedError

EVERYONE = (ENGINEER, OFFICER, STEWARD, SCIENTIST, MLOPS, VIEWER, WRITER, CALLER)


@dataclass(frozen=True)
class Clinic:
    """A platform on which a model has been trained and waits to be promoted."""

    platform: Platform
    file: Path
    simulator: Path
    run: Path
    declaration: Path


@pytest.fixture(scope="module")
def clinic(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("clinic")
    simulator = small_world.write_simulator(folder / "clinic")
    run, declared = folder / "run.yaml", folder / "visits.yaml"
    run.write_text(small_world.RUN)
    declared.write_text(small_world.DECLARATION)
    file = small_world.write_visits(folder / "visits.csv")
    platform.done(STEWARD, "data", "declare", str(declared))
    platform.done(WRITER, "data", "ingest", "visits", str(file))
    platform.done(STEWARD, "data", "classify", "visits")
    platform.done(STEWARD, "data", "release", "visits")
    platform.done(SCIENTIST, "sim", "build", str(simulator))
    judged = folder / "judged.yaml"
    judged.write_text(small_world.JUDGED)
    platform.done(SCIENTIST, "train", "submit", str(judged), "--watch")
    return Clinic(platform, file, simulator, run, declared)


def recorded(platform: Platform, who: str, action: str) -> bool:
    return any(record["actor"]["name"] == who for record in platform.trail(action=action, outcome="denied"))


@pytest.mark.parametrize("who", EVERYONE)
def test_nobody_gets_the_raw_file(clinic: Clinic, who: str) -> None:
    with clinic.platform.client(who) as client, pytest.raises(DeniedError, match="Nobody but the worker reads raw"):
        client.read_raw("visits")
    assert recorded(clinic.platform, who, "dataset.read_raw")


REFUSED: list[tuple[str, tuple[str, ...], str]] = [
    (SCIENTIST, ("data", "show", "visits", "--raw"), "dataset.read_raw"),
    (SCIENTIST, ("data", "declare", "DECLARATION"), "dataset.declare"),
    (SCIENTIST, ("data", "ingest", "visits", "FILE"), "dataset.ingest"),
    (SCIENTIST, ("data", "release", "visits"), "dataset.release"),
    (SCIENTIST, ("model", "promote", "dosing@1", "--reason", "mine"), "model.request_promotion"),
    (SCIENTIST, ("deploy", "advisor", "dosing@1"), "endpoint.deploy"),
    (STEWARD, ("train", "submit", "RUN"), "run.submit"),
    (STEWARD, ("sim", "build", "SIMULATOR"), "simulator.build"),
    (STEWARD, ("policy", "add", "mine", "RUN"), "policy.add"),
    (MLOPS, ("train", "submit", "RUN"), "run.submit"),
    (MLOPS, ("data", "release", "visits"), "dataset.release"),
    (OFFICER, ("train", "submit", "RUN"), "run.submit"),
    (OFFICER, ("deploy", "advisor", "dosing@1"), "endpoint.deploy"),
    (OFFICER, ("account", "create", "eve", "--role", "viewer"), "account.create"),
    (ENGINEER, ("data", "show", "visits"), "dataset.show"),
    (ENGINEER, ("audit", "search"), "audit.search"),
    (ENGINEER, ("policy", "add", "mine", "RUN"), "policy.add"),
    (VIEWER, ("data", "release", "visits"), "dataset.release"),
    (VIEWER, ("account", "disable", ENGINEER), "account.disable"),
    (WRITER, ("data", "show", "visits"), "dataset.show"),
    (WRITER, ("data", "list"), "dataset.list"),
]


@pytest.mark.parametrize(("who", "command", "action"), REFUSED, ids=str)
def test_each_role_has_its_own_part_and_no_other(
        clinic: Clinic, who: str, command: tuple[str, ...], action: str) -> None:
    files = {"DECLARATION": clinic.declaration, "FILE": clinic.file, "RUN": clinic.run, "SIMULATOR": clinic.simulator}
    line = clinic.platform.refused(who, *(str(files.get(part, part)) for part in command))
    assert line.startswith(f"{who} may not {action} ")
    assert recorded(clinic.platform, who, action)


@pytest.mark.parametrize(("name", "roles", "person"), [
    ("dan.approver", ("security_officer",), SCIENTIST), ("mia.approver", ("security_officer",), MLOPS),
    ("both", ("data_steward", "data_scientist"), ""), ("both", ("mlops_engineer", "security_officer"), ""),
])
def test_a_second_account_is_not_a_second_person(
        clinic: Clinic, name: str, roles: tuple[str, ...], person: str) -> None:
    arguments = [part for role in roles for part in ("--role", role)]
    who = OFFICER if roles == ("security_officer",) else ENGINEER
    line = clinic.platform.refused(who, "account", "create", name, *arguments, "--person", person)
    assert line.startswith(f"{who} may not account.create {name}: ")
    assert "One person would hold" in line


def test_a_model_reaches_an_endpoint_by_two_people_and_its_key_opens_nothing_else(clinic: Clinic) -> None:
    platform = clinic.platform
    line = platform.refused(MLOPS, "deploy", "advisor", "dosing@1")
    assert "Only a model in production is deployed" in line
    with platform.client(MLOPS) as mlops:
        request = mlops.request_promotion("dosing@1", "production", "better than a coin")["id"]
    for who in (MLOPS, SCIENTIST, STEWARD, ENGINEER, VIEWER):
        assert "may not" in platform.refused(who, "model", "approve", request, "--reason", "mine")
    with platform.client(MLOPS) as mlops:
        assert mlops.model("dosing@1")["stage"] != "production"
    platform.done(OFFICER, "model", "approve", request, "--reason", "interval and signature checked")
    platform.done(MLOPS, "deploy", "advisor", "dosing@1")

    with platform.client(ENGINEER) as engineer:
        key = engineer.create_key(CALLER, scopes=["endpoint.ask:advisor"], days=1)
    monitor = replace(platform, credentials={**platform.credentials, "monitor": key["secret"]})
    assert monitor.done("monitor", "endpoint", "ask", "advisor", "0", "2").split() == ["1", "1"]
    others: list[tuple[str, ...]] = [
        ("endpoint", "ask", "another", "0"), ("endpoint", "list"), ("endpoint", "show", "advisor"), ("data", "list"),
        ("model", "list"), ("model", "download", "dosing@1"), ("train", "submit", str(clinic.run)), ("status",),
        ("deploy", "mine", "dosing@1"), ("account", "list"), ("key", "create", CALLER), ("audit", "export")]
    for command in others:
        assert f"{CALLER} may not " in monitor.refused("monitor", *command), command
    platform.done(ENGINEER, "key", "revoke", key["id"])
    assert "The API key does not hold" in monitor.refused("monitor", "endpoint", "ask", "advisor", "0")


@pytest.fixture
def newcomer(platform: Platform) -> Platform:
    """The platform as seen with the credential of an account that only this test uses."""
    with platform.client(ENGINEER) as engineer:
        engineer.create_account("nora.new", roles=["viewer"], password=PASSWORD)
    with platform.client() as client:
        token = client.login("nora.new", PASSWORD)["token"]
    return replace(platform, credentials={**platform.credentials, "nora.new": token})


def test_a_disabled_account_is_refused_at_once(newcomer: Platform) -> None:
    newcomer.done("nora.new", "data", "list")
    newcomer.done(ENGINEER, "account", "disable", "nora.new")
    assert "The account of this session is disabled." in newcomer.refused("nora.new", "data", "list")
    with newcomer.client() as client, pytest.raises(UnauthenticatedError, match="wrong, or the account is disabled"):
        client.login("nora.new", PASSWORD)


def test_a_disabled_service_is_refused_at_once(platform: Platform) -> None:
    with platform.client(ENGINEER) as engineer:
        engineer.create_account("retired", kind="service", roles=["ingest_writer"])
        key = engineer.create_key("retired", scopes=[], days=1)["secret"]
    retired = replace(platform, credentials={"retired": key})
    retired.done("retired", "whoami")
    platform.done(ENGINEER, "account", "disable", "retired")
    assert "The API key does not hold" in retired.refused("retired", "whoami")


def test_a_wrong_password_says_no_more_than_that_and_guessing_gets_slow(platform: Platform) -> None:
    home = Home(platform.home.path)
    for name in (VIEWER, "nobody.knows"):
        wrong = the_line(home.run("login", name, "--password-stdin", stdin="wrong\n"))
        assert "The name or the password is wrong, or the account is disabled." in wrong
    for _ in range(5):
        last = the_line(home.run("login", VIEWER, "--password-stdin", stdin="wrong\n"))
    assert "Too many failed logins: wait " in last


@pytest.mark.parametrize("token", ["rf_" + "0" * 64, "nonsense", "a.b.c"])
def test_a_credential_that_is_none_is_refused(platform: Platform, token: str) -> None:
    nobody = replace(platform, credentials={"nobody": token})
    assert nobody.refused("nobody", "data", "list")
    with nobody.client("nobody") as client, pytest.raises(UnauthenticatedError):
        client.whoami()
