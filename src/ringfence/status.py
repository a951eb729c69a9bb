"""How the platform does, for those whose role may know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ringfence import __version__
from ringfence.errors import UnavailableError
from ringfence.sandbox.sandbox import Sandbox
from ringfence.trust.audit.sink import SinkStatus
from ringfence.trust.domain import Action, Actor, Resource
from ringfence.trust.gate import Gate


class StatusService:
    """The `platform.show` verb."""

    def __init__(self, gate: Gate, sandbox: Sandbox, worker_alive: Callable[[], bool], demo: bool,
                 sinks: Callable[[], Sequence[SinkStatus]]) -> None:
        self._gate, self._sandbox, self._worker_alive, self._demo = gate, sandbox, worker_alive, demo
        self._sinks = sinks

    def show(self, actor: Actor) -> dict[str, Any]:
        """Return the version, whether this is a demo, whether a worker lives, what the fences enforce here, and how
        far the audit sinks are."""
        with self._gate.read(actor, Action.PLATFORM_SHOW, Resource("platform", "platform", actor.project)):
            worker, sinks = self._worker_alive(), [sink.as_json() for sink in self._sinks()]
        try:
            guarantees, problem = [asdict(guarantee) for guarantee in self._sandbox.guarantees()], ""
        except UnavailableError as error:
            guarantees, problem = [], error.line()
        return {"version": __version__, "demo": self._demo, "worker": {"alive": worker}, "guarantees": guarantees,
                "sandbox_problem": problem, "audit_sinks": sinks}
