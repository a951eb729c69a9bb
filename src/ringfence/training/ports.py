"""What training needs of the other domains; `app.py` hands their services in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ringfence.simulators.domain import SimulatorView
from ringfence.trust.domain import Actor


class ReleasedVersion(Protocol):
    """A released dataset version: `columns` are the names that it has."""

    @property
    def ref(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def purpose(self) -> str: ...

    @property
    def columns(self) -> Sequence[str]: ...


class DataPort(Protocol):
    """Released data."""

    def find_version(self, actor: Actor, ref: str) -> ReleasedVersion:
        """Return a released version: `name@1`, or the latest of `name`; MissingError when there is none."""

    def open_columns(self, actor: Actor, version: str, columns: Sequence[str], purpose: str,
                     on_behalf_of: Actor) -> int:
        """Return a sealed memory file: an Arrow IPC file with just these columns."""


class SimulatorPort(Protocol):
    """Admitted simulators."""

    def show(self, actor: Actor, ref: str) -> SimulatorView:
        """Return an admitted simulator; MissingError when there is none."""

    def open_bundle(self, actor: Actor, digest: str, context: Mapping[str, Any] | None = None) -> int:
        """Return a sealed memory file with the bundle."""


class AgentShape(Protocol):
    """What an agent takes and gives, as JSON spaces."""

    @property
    def observation_space(self) -> dict[str, Any]: ...

    @property
    def action_space(self) -> dict[str, Any]: ...


class Registered(Protocol):
    """A registered model version."""

    @property
    def ref(self) -> str: ...


class RegistryPort(Protocol):
    """Where a finished run's agent goes."""

    def check_agent(self, description: bytes, tensors: bytes) -> AgentShape:
        """Return an agent's shape; InvalidError when it does not keep to the format."""

    def register(self, actor: Actor, *, name: str, run: str, content: Mapping[str, bytes], trained_by: str,
                 context: Mapping[str, Any]) -> Registered:
        """Package, sign and keep an agent; the same run is registered once, however often this is called."""
