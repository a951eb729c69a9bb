"""The shape of every task that runs inside a fence: a job comes in, events and a result go out.

Keeper to workload, once:   {"task", "parameters", "inputs": [names]} + one descriptor per input
Workload to keeper:         {"event": "progress", "share", "text"}
                            {"event": "metric", "step", "values": {name: number}}
                            {"event": "ready", "values"}           (services only: then the connection is theirs)
                            {"event": "result", "values", "outputs": [names]} + one sealed memfd per output
                            {"event": "error", "code", "message", "fix", "field", "value"}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence_workload.wire.messages import Connection


class TaskError(Exception):
    """What a user can mend: a code, one sentence, and the way out.

    `field` names the column, key or file that is wrong, `value` shows it (never a data subject's value).
    """

    def __init__(self, code: str, message: str, *, fix: str = "", field: str = "", value: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.field, self.value = code, message, fix, field, value


@dataclass(frozen=True)
class Job:
    """What a task is given: its parameters, one descriptor per named input, and the way to its keeper."""

    task: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, int]
    connection: Connection

    def progress(self, share: float, text: str = "") -> None:
        """Tell the keeper how much is done, `share` in [0, 1]."""
        self.connection.send({"event": "progress", "share": share, "text": text})

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """Report numbers measured at `step`; one that is not finite is reported as null."""
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self.connection.send({"event": "metric", "step": step, "values": numbers})

    def ready(self, values: Mapping[str, Any]) -> None:
        """Tell the keeper that this service now answers."""
        self.connection.send({"event": "ready", "values": dict(values)})


@dataclass(frozen=True)
class Result:
    """What a task hands back: JSON values, and named byte strings or sealed memfds."""

    values: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, bytes | int] = field(default_factory=dict)


Task = Callable[[Job], Result]
