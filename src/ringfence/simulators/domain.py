"""Simulators as the catalogue knows them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ringfence.errors import InvalidError, WorkloadError
from ringfence.simulators.scan import Scan
from ringfence_workload.wire import spaces

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LISTS = ("baselines", "licences", "requirements")
RANDOM = "random"


@dataclass(frozen=True)
class Manifest:
    """What an inspection inside a fence found in a bundle.

    `step_microseconds` is for one environment, `memory_bytes` the peak of a process that hosts two. `licences` and
    `requirements` are as the project declares them.
    """

    name: str
    version: str
    vector: bool
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    baselines: tuple[str, ...]
    step_microseconds: float
    licences: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    memory_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Manifest:
        """Rebuild a manifest from what a fenced, untrusted workload says of itself.

        Raises:
            WorkloadError: `simulator.manifest`: a field is missing or not what it must be.
        """
        name, version = _text(values, "name", _NAME), _text(values, "version", _VERSION)
        baselines = values.get("baselines", [])
        if not isinstance(baselines, list) or len(baselines) > 32 or RANDOM in baselines:
            raise _bad("baselines", f"is not a list of at most 32 names, none of them {RANDOM!r}")
        names = tuple(_text({"baselines": item}, "baselines", _NAME) for item in baselines)
        cost = values.get("step_microseconds", 0.0)
        if not isinstance(values.get("vector"), bool) or not isinstance(cost, (int, float)) or not 0 <= cost < 1e12:
            raise _bad("vector", "or step_microseconds has a wrong type")
        peak = values.get("memory_bytes", 0)
        if isinstance(peak, bool) or not isinstance(peak, int) or not 0 <= peak < 1 << 50:
            raise _bad("memory_bytes", "is no size")
        return cls(name, version, values["vector"], _space(values, "observation_space"), _space(values, "action_space"),
                   names, float(cost), _texts(values, "licences"), _texts(values, "requirements"), peak)


@dataclass(frozen=True)
class SimulatorView:
    """One simulator of the catalogue. `scan` is None for one that was admitted before there were scans."""

    name: str
    version: str
    digest: str
    manifest: Manifest
    state: str
    admitted_at: str
    scan: Scan | None = None

    @property
    def ref(self) -> str:
        """Return `name@version`."""
        return f"{self.name}@{self.version}"

    def as_json(self) -> dict[str, Any]:
        """Return the simulator as the API shows it."""
        return {"ref": self.ref, "name": self.name, "version": self.version, "digest": self.digest,
                "manifest": self.manifest.as_json(), "state": self.state, "admitted_at": self.admitted_at,
                "scan": self.scan.as_json() if self.scan else None}


@dataclass(frozen=True)
class SimulatorRef:
    """`name` (the latest), `name@version`, or a digest."""

    name: str = ""
    version: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> SimulatorRef:
        """Read a reference.

        Raises:
            InvalidError: `simulator.reference`.
        """
        if _DIGEST.fullmatch(text):
            return cls(digest=text)
        name, _, version = text.partition("@")
        if not _NAME.fullmatch(name) or (version and not _VERSION.fullmatch(version)) or text.endswith("@"):
            raise InvalidError("simulator.reference", f"{text[:80]!r} does not name a simulator.", field="simulator",
                               value=text[:80], fix="Write a name, name@version, or sha256:… of the bundle.")
        return cls(name, version)


def _text(values: Mapping[str, Any], field: str, shape: re.Pattern[str]) -> str:
    value = values.get(field)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise _bad(field, f"is not a name of letters, digits and ._- ({str(value)[:40]!r})")
    return value


def _texts(values: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = values.get(field, [])
    if not isinstance(value, list) or len(value) > 100 or not all(isinstance(item, str) and item.isprintable()
                                                                 and len(item) <= 200 for item in value):
        raise _bad(field, "is not a list of at most 100 short texts")
    return tuple(value)


def _space(values: Mapping[str, Any], field: str) -> dict[str, Any]:
    try:
        return spaces.to_json(spaces.from_json(values.get(field, {})))
    except spaces.SpaceError as error:
        raise _bad(field, f"can't be: {error}") from error


def _bad(field: str, problem: str) -> WorkloadError:
    return WorkloadError("simulator.manifest", f"The simulator can't be admitted: its {field} {problem}.", field=field,
                         fix="Correct simulator.yaml and build the bundle again.")
