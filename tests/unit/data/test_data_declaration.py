"""A declaration is taken as it was meant, or refused with the field, the value and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.data.declaration import parse
from ringfence.data.domain import (
    TRANSITIONS,
    Finding,
    Measured,
    State,
    VersionRef,
    findings_from,
    readable_identifiers,
    require_transition,
)
from ringfence.errors import ConflictError, InvalidError, WorkloadError
from tests.fences import CHECKOUT

GOOD = """
kind: Dataset
name: stays
purpose: care
residency: on-premises
subject: mrn
anonymity: {k: 5, quasi_identifiers: [year]}
columns:
  mrn: {action: pseudonymise, as: subject}
  born: {action: generalise, to: year, as: year}
  note: drop
  state: {action: keep, type: integer}
"""


def test_the_example_is_a_declaration() -> None:
    declaration = parse((CHECKOUT / "examples/icu_sepsis/dataset.yaml").read_text())
    assert (declaration.name, declaration.anonymity.k) == ("icu-stays", 5)
    assert [rule.name for rule in declaration.outputs][:4] == ["subject", "stay", "birth_year", "region"]


def test_short_and_long_forms_mean_the_same() -> None:
    assert parse(GOOD).digest == parse(GOOD.replace("note: drop", "note: {action: drop}") + "# a remark\n").digest
    assert parse(GOOD).digest != parse(GOOD.replace("k: 5", "k: 6")).digest


@pytest.mark.parametrize(("old", "new", "code", "field"), [
    ("kind: Dataset", "kind: Run", "declaration.invalid", "kind"),
    ("kind: Dataset", "", "declaration.missing", "kind"),
    ("name: stays", "name: My Stays", "declaration.invalid", "name"),
    ("purpose: care", "purpos: care", "declaration.missing", "purpose"),
    ("subject: mrn", "subject: 5", "declaration.invalid", "subject"),
    ("k: 5", "k: five", "declaration.invalid", "anonymity.k"),
    ("k: 5", "k: 0", "declaration.invalid", "anonymity.k"),
    ("k: 5", "k: 5, l: 2", "declaration.invalid", "anonymity.l"),
    ("k: 5", "k: 5, max_suppressed_share: 2", "declaration.invalid", "anonymity.max_suppressed_share"),
    ("[year]", "[born]", "declaration.invalid", "anonymity.quasi_identifiers"),
    ("[year]", "[year, year]", "declaration.invalid", "anonymity.quasi_identifiers"),
    ("[year]", "[subject]", "declaration.invalid", "anonymity.quasi_identifiers"),
    ("note: drop", "note: remove", "declaration.invalid", "columns.note.action"),
    ("note: drop", "note: tokenise", "declaration.invalid", "columns.note.action"),
    ("note: drop", "note: [drop]", "declaration.invalid", "columns.note"),
    ("note: drop", "note: {action: keep, as: state}", "declaration.invalid", "columns.state"),
    ("note: drop", "note: {action: drop, to: year}", "declaration.invalid", "columns.note.to"),
    ("type: integer", "type: int", "declaration.invalid", "columns.state.type"),
    ("to: year", "to: day", "declaration.invalid", "columns.born.to"),
    ("to: year, ", "", "declaration.invalid", "columns.born.action"),
    ("action: pseudonymise, as: subject", "action: keep", "declaration.invalid", "columns.mrn"),
    ("residency: on-premises", "residency: on-premises\nowner: me", "declaration.invalid", "owner"),
    ("  note: drop", "  note: drop\n  note: keep", "declaration.unreadable", "line"),
    ("note: drop", "note: &a drop\n  more: *a", "declaration.unreadable", "line"),
    ("note: drop", "note: {drop", "declaration.unreadable", "line"),
])
def test_each_mistake_is_named(old: str, new: str, code: str, field: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidError) as refused:
        parse(GOOD.replace(old, new))
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.fix


@pytest.mark.parametrize("text", ["", "a", "- a", "kind: !!python/object/apply:os.getcwd []", "\x00", "{" * 5000])
def test_what_is_no_declaration_is_unreadable(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse(text)
    assert refused.value.code == "declaration.unreadable"


def test_what_a_later_version_will_do_is_refused_by_name() -> None:
    with pytest.raises(InvalidError, match="'shift_dates' is not supported yet"):
        parse(GOOD.replace("note: drop", "note: {action: shift_dates}"))


def test_states_follow_each_other_only_as_declared() -> None:
    for state in State:
        for target in State:
            if target in TRANSITIONS[state]:
                assert require_transition(state, target) is target
            else:
                with pytest.raises(ConflictError) as refused:
                    require_transition(state, target)
                assert refused.value.fix


@pytest.mark.parametrize(("text", "name", "number"), [("stays", "stays", 0), ("stays@12", "stays", 12)])
def test_references(text: str, name: str, number: int) -> None:
    assert VersionRef.parse(text) == VersionRef(name, number)


@pytest.mark.parametrize("text", ["", "@1", "stays@", "stays@0", "stays@x", "Stays", "../x", "a@1@2", "a" * 200])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidError):
        VersionRef.parse(text)


FINDING = {"name": "a", "type": "EMAIL", "sensitivity": "none", "confidence": 0.9, "evidence": "because"}


def test_a_finding_is_as_sensitive_as_its_type_whatever_the_fence_says() -> None:
    assert findings_from([FINDING], ["a"])[0].sensitivity == "direct_identifier"


@pytest.mark.parametrize("values", [None, [], [FINDING, FINDING], ["a"], [{**FINDING, "name": "b"}],
                                    [{**FINDING, "type": "HARMLESS"}], [{**FINDING, "confidence": 2}],
                                    [{**FINDING, "evidence": 7}]])
def test_findings_that_are_not_one_for_each_column_are_refused(values: object) -> None:
    with pytest.raises(WorkloadError, match="can't be used"):
        findings_from(values, ["a"])


def test_identifiers_that_would_stay_readable_are_named_for_policy() -> None:
    found = [Finding("state", "EMAIL", "direct_identifier", 0.9, ""),
             Finding("mrn", "SSN", "direct_identifier", 0.9, "")]
    assert readable_identifiers(parse(GOOD), found) == ["state"]


REPORT = {"rows": 10, "subjects": 9, "k": 5, "suppressed_share": 0.1, "anonymity": {}, "columns": [
    {"name": "subject", "type": "text", "source": "mrn", "action": "pseudonymise"},
    {"name": "year", "type": "integer", "source": "born", "action": "generalise"},
    {"name": "state", "type": "integer", "source": "state", "action": "keep"}]}


def test_a_report_survives_the_database() -> None:
    measured = Measured.from_report(REPORT, parse(GOOD), ["mrn", "born", "note", "state", "forgotten"])
    assert measured.columns_removed == ("note", "forgotten")
    assert Measured.from_json(measured.as_json()) == measured


@pytest.mark.parametrize("wrong", [{"k": -1}, {"k": True}, {"rows": "10"}, {"suppressed_share": 1.5}, {"columns": []},
                                   {"anonymity": None}, {"columns": [*REPORT["columns"], {"name": "ssn"}]}])
def test_a_report_that_is_not_of_the_declared_result_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(WorkloadError):
        Measured.from_report({**REPORT, **wrong}, parse(GOOD), ["mrn"])


def test_the_languages_of_both_sides_of_the_fence_agree() -> None:
    """The control plane and the fence have vocabularies of their own, as neither imports the other."""
    from ringfence.data import declaration, domain

    inside = Path(CHECKOUT / "src/ringfence_workload/data")
    for words, file in ((domain.DIRECT | domain.QUASI | domain.OTHER, "classify.py"), (declaration.OPTIONS, "rules.py"),
                        (declaration.TYPES, "types.py"), (declaration.DATES, "rules.py")):
        text = (inside / file).read_text()
        assert [word for word in words if f'"{word}"' not in text] == []
