"""Endpoints, and what may go into and come out of one. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.errors import InvalidError, TooLargeError, WorkloadError
from ringfence_workload.wire.spaces import Checker, SpaceSpec, from_json

MAX_ROWS = 4096
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class EndpointView:
    """One endpoint: the model version that it serves, and what that takes and gives."""

    name: str
    model: str
    digest: str
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    deployed_by: str
    deployed_at: str

    def as_json(self) -> dict[str, Any]:
        """Return the endpoint as the API shows it."""
        return asdict(self)


def require_name(name: str) -> str:
    """Return an endpoint's name.

    Raises:
        InvalidError: `endpoint.name`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError("endpoint.name", f"{name[:80]!r} is no name for an endpoint.", field="name", value=name[:80],
                           fix="Use up to 63 lower-case letters, digits and hyphens.")
    return name


class Guard:
    """Checks what goes in and out of one agent against its spaces. Errors never hold a value that was sent."""

    def __init__(self, observation_space: Mapping[str, Any], action_space: Mapping[str, Any]) -> None:
        self._observation, self._action = from_json(observation_space), from_json(action_space)
        self._observations, self._actions = Checker(self._observation), Checker(self._action)

    def require_observations(self, observations: Any) -> list[Any]:
        """Return the observations, a list of 1 to MAX_ROWS elements of the observation space.

        Raises:
            InvalidError: `inference.observations`; `field` names the first row that is wrong.
            TooLargeError: there are too many.
        """
        if not isinstance(observations, list) or not observations:
            raise _refused("observations", "there are none", self._observation)
        if len(observations) > MAX_ROWS:
            raise TooLargeError("inference.too_many", f"{len(observations)} observations are over {MAX_ROWS}.",
                                field="observations", fix="Ask in several requests.")
        if not _fits(observations, self._observation, self._observations):
            row = next(row for row, one in enumerate(observations)
                       if not _fits([one], self._observation, self._observations))
            raise _refused(f"observations[{row}]", "it is not in the agent's observation space", self._observation)
        return observations

    def require_actions(self, actions: Any, rows: int) -> list[Any]:
        """Return the actions that an agent answered, one in its action space for each observation.

        Raises:
            WorkloadError: `endpoint.misbehaved`.
        """
        if not isinstance(actions, list) or len(actions) != rows or not _fits(actions, self._action, self._actions):
            raise WorkloadError("endpoint.misbehaved", "The agent answered what is not in its action space.",
                                fix="It was ended; the next request starts it anew.")
        return actions


def _fits(values: list[Any], space: SpaceSpec, checker: Checker) -> bool:
    # A cast to the space's type could wrap a number that is out of range into it: so the loose values are checked too.
    if not _numbers(values):
        return False
    try:
        loose: npt.NDArray[Any] = np.asarray(values)
    except (ValueError, OverflowError):
        return False
    wanted = np.dtype(space.dtype)
    allowed = "if" if wanted.kind == "f" else "i"
    return (loose.shape == (len(values), *space.shape) and loose.dtype.kind in allowed
            and checker.holds(loose) and checker.holds(loose.astype(wanted)))


def _numbers(values: Any) -> bool:
    if isinstance(values, list):
        return all(_numbers(value) for value in values)
    return type(values) in (int, float)


def _refused(field: str, problem: str, space: SpaceSpec) -> InvalidError:
    shape = "numbers" if not space.shape else f"arrays of shape {list(space.shape)}"
    kind = f"{space.n} integers from {space.start}" if space.kind == "Discrete" else f"a {space.kind} of {space.dtype}"
    return InvalidError("inference.observations", f"The agent can't be asked that: {field}: {problem}.", field=field,
                        fix=f"Send a list of {shape} of the space {kind}; `ringfence endpoint show` prints it whole.")
