"""Check of the hyperparameters a user wrote: a misspelt one is refused by name, with the nearest right one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from ringfence_workload.task import TaskError


def require_known(given: Mapping[str, Any], known: Collection[str], learner: str,
                  where: str = "hyperparameters") -> None:
    """Return if every name in `given` is one of `known`.

    Raises:
        TaskError: `hyperparameter.unknown`, suggesting the nearest known name.
    """
    for name in given:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            fix = f"Did you mean {nearest[0]}?" if nearest else f"It takes {', '.join(sorted(known))}."
            raise TaskError("hyperparameter.unknown", f"{learner} has no hyperparameter {name}.", fix=fix,
                            field=f"{where}.{name}", value=name)


def require_number(given: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """Return the number `name`, or `default` where it is not given.

    Raises:
        TaskError: `hyperparameter.invalid`: no number, or outside [low, high].
    """
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise TaskError("hyperparameter.invalid", f"The hyperparameter {name} must be a number from {low} to {high}.",
                        fix=f"Give {name} such a number, or leave it out for {default}.",
                        field=f"hyperparameters.{name}", value=str(value))
    return float(value)
