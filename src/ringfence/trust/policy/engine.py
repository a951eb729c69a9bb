"""What every engine does with its result: read it strictly, and refuse when there is any doubt."""

from __future__ import annotations

from typing import Any

from ringfence.errors import UnavailableError
from ringfence.trust.domain import Decision

RULE = "data.ringfence.decision"


def decision_from(result: Any, bundle: str) -> Decision:
    """Return the decision that the rules' result stands for.

    Raises:
        UnavailableError: it is not `{"allow": true or false, "deny": [sentences]}`, or contradicts itself.
    """
    allow = result.get("allow") if isinstance(result, dict) else None
    deny = result.get("deny") if isinstance(result, dict) else None
    if type(allow) is not bool or not isinstance(deny, list) or (allow and deny):
        raise unavailable("the rules gave no decision")
    return Decision(allow, tuple(str(reason) for reason in deny), bundle)


def unavailable(why: str) -> UnavailableError:
    """Return the error for a decision that can't be had; nothing is allowed without one."""
    return UnavailableError("policy.unavailable", f"Policy can't decide: {why}.",
                            fix="Correct the rules; until then everything is refused.")
