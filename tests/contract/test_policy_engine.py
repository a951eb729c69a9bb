"""What every policy engine must decide, and that it allows nothing when it can't."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import UnavailableError
from ringfence.trust.domain import Action, Actor, PolicyInput, Resource
from ringfence.trust.policy.bundle import load
from ringfence.trust.policy.engine import RULE
from ringfence.trust.policy.engine_embedded import EmbeddedEngine, build
from ringfence.trust.policy.module import ProjectPolicy, check
from tests.trusted import POLICIES

BUNDLE = load(POLICIES)
TESTS = {path.name: path.read_text() for path in POLICIES.rglob("*_test.rego")}


def shipped_cases() -> list[dict[str, Any]]:
    engine = build(BUNDLE, (), TESTS)
    engine.set_input_json("{}")
    cases: list[dict[str, Any]] = json.loads(engine.eval_rule_as_json("data.ringfence_test.cases"))
    return sorted(cases, key=lambda case: case["title"])


CASES = shipped_cases()


def answer(engine: Any, question: Any) -> Any:
    engine.set_input_json(json.dumps(question))
    return json.loads(engine.eval_rule_as_json(RULE))


def asked(*roles: str, action: Action = Action.RUN_SUBMIT, **context: Any) -> PolicyInput:
    actor = Actor("account-1", "dana", "person", frozenset(roles), "default", "dana")  # a question, not a credential
    return PolicyInput(actor, action, Resource("run", "x"), context)


def test_there_are_cases_for_every_file() -> None:
    assert len(CASES) > 100 and len(TESTS) >= 4


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case['title']}" for number, case in enumerate(CASES)])
def test_the_shipped_rules_decide_as_their_cases_say(case: dict[str, Any]) -> None:
    decision = answer(build(BUNDLE), case["input"])
    assert decision["allow"] is case["allow"], decision
    assert any(case["reason"] in reason for reason in decision["deny"]) or not case["reason"], decision
    assert bool(decision["deny"]) is not decision["allow"] or not case["input"], "a refusal says why"


def test_a_used_engine_decides_like_a_new_one() -> None:
    """Guards against an engine that remembers something of the last question."""
    used, rng = build(BUNDLE), random.Random(5)
    for case in rng.sample(CASES, 60) + rng.sample(CASES, 60):
        assert answer(used, case["input"]) == answer(build(BUNDLE), case["input"])


def test_real_opa_decides_alike() -> None:
    """Needs the package opa-golib-python-bindings, which declares a later Python than the platform's."""
    opa_bindings = pytest.importorskip("opa_bindings")
    embedded, rng = build(BUNDLE), random.Random(7)
    values = [None, True, False, 0, 5, 0.5, "x", "security_officer", [], ["worker"], "production"]
    with opa_bindings.OpaEngine() as opa:
        for name, text in BUNDLE.modules.items():
            opa.add_policy(name, text)
        opa.add_data({**BUNDLE.data, "policy_projects": {}})
        for case in CASES + rng.choices(CASES, k=500):
            question = json.loads(json.dumps(case["input"]))
            context = question.get("context") or {}
            if question.get("actor") and rng.random() < 0.7:
                question["actor"]["roles"] = rng.sample(list(BUNDLE.data["roles"]["actions"]), rng.randint(0, 2))
            if context and rng.random() < 0.7:
                context[rng.choice(list(context))] = rng.choice(values)
            try:
                ours = answer(embedded, question)
            except RuntimeError:
                continue  # a fact of the wrong type: the embedded engine refuses as a whole
            assert ours == opa.eval_document("ringfence.decision", question), question


def test_a_decision_names_its_bundle_and_a_changed_rule_another(tmp_path: Path) -> None:
    plain = EmbeddedEngine(POLICIES).decide(asked("data_scientist"))
    assert plain.allowed and plain.bundle == BUNDLE.digest and plain.bundle.startswith("sha256:")
    denying = check("mine", "default", 'package ringfence.project.mine\nimport rego.v1\ndeny contains "no" if true')
    own = EmbeddedEngine(POLICIES, lambda: (denying,)).decide(asked("data_scientist"))
    assert (own.allowed, own.reasons) == (False, ("no",)) and own.bundle != plain.bundle


def test_a_policy_added_later_counts_in_every_thread_at_once() -> None:
    policies: list[ProjectPolicy] = []
    engine = EmbeddedEngine(POLICIES, lambda: tuple(policies))
    found: list[bool] = []
    added = threading.Barrier(5)

    def work() -> None:
        found.append(engine.decide(asked("data_scientist")).allowed)
        added.wait()
        added.wait()
        found.append(engine.decide(asked("data_scientist")).allowed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    added.wait()
    policies.append(check("m", "default", 'package ringfence.project.m\nimport rego.v1\ndeny contains "no" if true'))
    added.wait()
    for thread in threads:
        thread.join()
    assert found == [True] * 4 + [False] * 4


def test_a_project_policy_does_not_reach_into_another_project() -> None:
    other = check("mine", "other", 'package ringfence.project.mine\nimport rego.v1\ndeny contains "no" if true')
    assert EmbeddedEngine(POLICIES, lambda: (other,)).decide(asked("data_scientist")).allowed


def test_a_policy_that_fails_at_work_refuses_everything() -> None:
    broken = ProjectPolicy("b", "default", "b", 'package ringfence.project.b\nimport rego.v1\n'
                           'deny contains "x" if to_number(input.action) > 1')
    with pytest.raises(UnavailableError, match="Policy can't decide: could not parse string as number"):
        EmbeddedEngine(POLICIES, lambda: (broken,)).decide(asked("data_scientist"))


def test_an_engine_that_failed_recovers() -> None:
    broken = [ProjectPolicy("b", "default", "b", "package ringfence.project.b\nnonsense(")]
    engine = EmbeddedEngine(POLICIES, lambda: tuple(broken))
    with pytest.raises(UnavailableError):
        engine.decide(asked("data_scientist"))
    broken.clear()
    assert engine.decide(asked("data_scientist")).allowed


@pytest.mark.parametrize("rego", [
    "decision := true", 'decision := {"allow": "yes", "deny": []}', 'decision := {"allow": true}',
    'decision := {"allow": true, "deny": ["but no"]}', 'decision := {"allow": 1, "deny": []}', "other := 1",
    'decision := {"allow": true, "deny": {"a": 1}}'])
def test_rules_that_give_no_proper_decision_refuse(tmp_path: Path, rego: str) -> None:
    (tmp_path / "rules.rego").write_text(f"package ringfence\nimport rego.v1\n{rego}")
    with pytest.raises(UnavailableError, match="Policy can't decide"):
        EmbeddedEngine(tmp_path).decide(asked("data_scientist"))


def test_a_folder_without_rules_or_with_broken_ones_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no rules"):
        EmbeddedEngine(tmp_path)
    (tmp_path / "a.rego").write_text("package ringfence\nnonsense(")
    with pytest.raises(UnavailableError, match=r"a\.rego:2"):
        EmbeddedEngine(tmp_path)
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(UnavailableError, match="can't be read"):
        EmbeddedEngine(tmp_path)


def test_a_fact_that_is_no_json_refuses() -> None:
    with pytest.raises(UnavailableError):
        EmbeddedEngine(POLICIES).decide(asked("data_scientist", figure=float("nan")))
    with pytest.raises(UnavailableError):
        EmbeddedEngine(POLICIES).decide(asked("data_scientist", path=Path("x")))
