"""Model versions and what may become of them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ringfence.errors import InvalidError


class Stage(StrEnum):
    """Where a model version stands. Only `production` versions are served."""

    REGISTERED = "registered"
    PRODUCTION = "production"


PROMOTIONS: Mapping[Stage, frozenset[Stage]] = {
    Stage.REGISTERED: frozenset({Stage.PRODUCTION}),
    Stage.PRODUCTION: frozenset(),
}


class PromotionState(StrEnum):
    """A request for promotion waits for a second person."""

    REQUESTED = "requested"
    APPROVED = "approved"


@dataclass(frozen=True)
class PackageReport:
    """What an offline verification found. `digest` is the package file's; `statement` what was signed."""

    valid: bool
    digest: str
    statement: Mapping[str, Any]
    problem: str


@dataclass(frozen=True)
class ModelView:
    """One model version. `evaluation` is the run's result; `trained_by` the person behind the run."""

    name: str
    version: int
    digest: str
    size: int
    stage: str
    run: str
    kind: str
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    evaluation: dict[str, Any]
    provenance: dict[str, Any]
    trained_by: str
    registered_at: str

    @property
    def ref(self) -> str:
        """Return `name@version`."""
        return f"{self.name}@{self.version}"

    def as_json(self) -> dict[str, Any]:
        """Return the version as the API shows it."""
        return {"ref": self.ref, **asdict(self)}


@dataclass(frozen=True)
class PromotionView:
    """A request to promote a version, and who made and approved it."""

    id: str
    model: str
    stage: str
    state: str
    reason: str
    requested_by: str
    approved_by: str

    def as_json(self) -> dict[str, Any]:
        """Return the request as the API shows it."""
        return asdict(self)


@dataclass(frozen=True)
class ModelRef:
    """`name` or `name@3`; without a version, the latest is meant."""

    name: str
    version: int | None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read a reference.

        Raises:
            InvalidError: `model.reference`.
        """
        match = re.fullmatch(r"([a-z0-9][a-z0-9._-]{0,62})(?:@([1-9][0-9]{0,8}))?", text)
        if match is None:
            raise InvalidError("model.reference", f"{text[:80]!r} does not name a model.", field="model",
                               value=text[:80], fix="Write the name, or the name and the version: icu-offline@3.")
        return cls(match[1], int(match[2]) if match[2] else None)


def require_promotable(stage: str, target: str) -> Stage:
    """Return the stage that a version at `stage` may be promoted to.

    Raises:
        InvalidError: there is no such stage, or no way from the one to the other.
    """
    known = [item.value for item in Stage]
    if target not in known or Stage(target) not in PROMOTIONS[Stage(stage)]:
        ways = ", ".join(sorted(PROMOTIONS[Stage(stage)])) or "nothing further"
        raise InvalidError("model.stage", f"A version at {stage} can't be promoted to {target[:40]}.", field="stage",
                           value=target[:40], fix=f"From {stage} a version can go to: {ways}.")
    return Stage(target)


def is_better(evaluation: Mapping[str, Any], reference: str = "clinicians") -> bool:
    """Say whether the agent's whole interval lies above the reference's; False when either is not there."""
    agents = evaluation.get("evaluation", {})
    agent, behaviour = agents.get("agent"), agents.get(reference)
    return bool(agent and behaviour and agent["ci_low"] > behaviour["ci_high"])
