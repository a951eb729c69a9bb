"""A project's own rules: what may be added, by whom, and that it only ever denies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.errors import ConflictError, DeniedError, InvalidError
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.policy.module import LARGEST, check
from tests.trusted import PASSWORD, Trusted, trusted

HEAD = "package ringfence.project.mine\nimport rego.v1\n"
DENY = f'{HEAD}deny contains "not today" if input.action == "account.list"'
EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").rglob("*.rego"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_policies_are_accepted(path: Path) -> None:
    assert check("example", "default", path.read_text()).rego == path.read_text()


def test_helpers_functions_and_allowed_built_ins_are_accepted() -> None:
    policy = check("mine", "default", HEAD + """
limit := 5
small(k) if k < limit
names := {name | some name in input.context.columns}
deny contains msg if { small(input.context.k); msg := sprintf("%v", [count(names)]) }
""")
    assert (policy.package, policy.project, policy.name) == ("mine", "default", "mine")


@pytest.mark.parametrize(("rego", "why"), [
    ("", "can't be read"), ("package ringfence.project.mine\nfoo(", "line and column 2:5"), ("{}", "can't be read"),
    ("package ringfence\nimport rego.v1\nallow := true", "package must be"),
    ("package ringfence.project\nimport rego.v1\ndeny contains 1 if true", "package must be"),
    ("package ringfence.project.a.b\nimport rego.v1\ndeny contains 1 if true", "package must be"),
    ("package ringfence.project.Mine\nimport rego.v1\ndeny contains 1 if true", "package must be"),
    ('package ringfence.project["mine"]\nimport rego.v1\ndeny contains 1 if true', "package must be"),
    (f"{HEAD}x := 1", "must say when it denies"),
    (f'{HEAD}deny := {{"a"}}', "must be a set"), (f'{HEAD}deny := "a" if true', "must be a set"),
    (f"{HEAD}default deny := false", "must be a set"), (f"{HEAD}deny[x] := 1 if x := 2", "must be a set"),
    (f'{HEAD}deny contains 1 if http.send({{"url": "http://192.0.2.1"}})', "may not call http.send"),
    (f"{HEAD}deny contains 1 if time.now_ns() > 0", "may not call time.now_ns"),
    (f"{HEAD}deny contains 1 if opa.runtime().env", "may not call opa.runtime"),
    (f"{HEAD}deny contains 1 if no_such_function(1)", "may not call no_such_function"),
    (f"{HEAD}deny contains crypto.sha256(\"x\") if true", "may not call crypto.sha256"),
    (f"{HEAD}f(x) := rand.intn(\"a\", x)\ndeny contains 1 if f(3)", "may not call rand.intn"),
    (f"{HEAD}deny contains 1 if data.roles", "may not read `data`"),
    (f'{HEAD}deny contains 1 if data["ringfence"].allow', "may not read `data`"),
    (f"{HEAD}import data.ringfence\ndeny contains 1 if ringfence.allow", "may not import data.ringfence"),
    (f"{HEAD}import data.ringfence as input2\ndeny contains 1 if true", "may not import"),
    (f"{HEAD}deny contains 1 if input.a with input as {{}}", "may not use `with`"),
    ("x" * (LARGEST + 1), "bytes long")])
def test_what_is_more_than_denying_is_refused(rego: str, why: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check("mine", "default", rego)
    assert refused.value.code == "policy.invalid" and why in refused.value.message, refused.value.message
    assert "Stack backtrace" not in refused.value.message and "\n" not in refused.value.message


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a" * 64, "ä"])
def test_a_policys_name_is_a_word(name: str) -> None:
    with pytest.raises(InvalidError):
        check(name, "default", DENY)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Trusted]:
    with trusted(tmp_path) as made:
        yield made


def test_an_officers_policy_denies_from_then_on_and_allows_nothing(parts: Trusted) -> None:
    ada = parts.administrator()
    olga = parts.person(ada, "olga", "security_officer")
    parts.identity.accounts(ada)
    view = parts.policies.add(olga, "today", DENY)
    assert (view.name, view.package, view.added_by) == ("today", "mine", "olga")
    with pytest.raises(DeniedError, match="not today"):
        parts.identity.accounts(ada)
    with pytest.raises(DeniedError, match="security_officer"):
        parts.policies.add(ada, "tomorrow", DENY)
    for name, rego in (("today", DENY.replace("mine", "other")), ("other", DENY)):
        with pytest.raises(ConflictError):
            parts.policies.add(olga, name, rego)
    assert [policy.name for policy in parts.policies.list(olga)] == ["today"]
    denied = next(record for record in parts.records() if record["reasons"] == ["not today"])
    before = next(record for record in parts.records() if record["action"] == "account.list")
    assert denied["bundle"] != before["bundle"], "the record says which rules decided"


def test_another_process_sees_an_added_policy_at_once(parts: Trusted) -> None:
    ada = parts.administrator()
    olga = parts.person(ada, "olga", "security_officer")
    with trusted(parts.home) as other:
        other.identity.accounts(ada)
        parts.policies.add(olga, "today", DENY)
        with pytest.raises(DeniedError, match="not today"):
            other.identity.accounts(ada)


def test_a_stolen_actor_of_another_project_gets_nothing(parts: Trusted) -> None:
    ada = parts.administrator()
    stranger = Actor(ada.id, ada.name, "person", ada.roles, "other", ada.person)
    with pytest.raises(DeniedError, match="another project"), \
            parts.gate.read(stranger, Action.ACCOUNT_LIST, Resource("account", "*", "default")):
        pytest.fail("projects isolate")
    assert parts.identity.login("ada", PASSWORD, "c").actor.project == "default"
