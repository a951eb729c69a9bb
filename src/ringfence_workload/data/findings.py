"""What a declaration may not do with a column that classification found to identify people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ringfence_workload.data.rules import READABLE, Rule
from ringfence_workload.task import TaskError


def require_safe(rules: Sequence[Rule], findings: Sequence[Mapping[str, Any]], anonymity: Mapping[str, Any]) -> None:
    """Refuse a rule that would leave an identifier readable, or a quasi-identifier uncounted.

    Raises:
        TaskError: `data.not_classified`, `data.identifier_kept`, `data.quasi_identifier_forgotten`; each names
            the column, what was found in it and the way out.
    """
    found = {finding["name"]: finding for finding in findings}
    for rule in rules:
        if rule.action not in READABLE:
            continue
        finding = found.get(rule.column)
        if finding is None:
            raise TaskError("data.not_classified", f"Column {rule.column!r} was not classified.", field=rule.column,
                            fix="Classify the dataset, then release it.")
        if finding["sensitivity"] == "direct_identifier":
            raise _kept(rule, finding)
        if finding["sensitivity"] == "quasi_identifier" and rule.name not in anonymity["quasi_identifiers"]:
            raise _forgotten(rule, finding)


def _kept(rule: Rule, finding: Mapping[str, Any]) -> TaskError:
    return TaskError("data.identifier_kept", f"Column {rule.column!r} is declared {rule.action!r}, but identifies "
                     f"people: {finding['type']} ({finding['confidence']:.0%} sure; {finding['evidence']}).",
                     field=rule.column, value=finding["type"],
                     fix="Declare it `drop`, or `pseudonymise` where rows must stay linked.")


def _forgotten(rule: Rule, finding: Mapping[str, Any]) -> TaskError:
    return TaskError("data.quasi_identifier_forgotten", f"Column {rule.column!r} helps to identify people "
                     f"({finding['type']}: {finding['evidence']}), but anonymity does not count it.",
                     field=rule.column, value=finding["type"],
                     fix=f"Add {rule.name!r} to anonymity.quasi_identifiers, or drop the column.")
