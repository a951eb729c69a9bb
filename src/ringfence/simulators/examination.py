"""Looks at a bundle in fences: what it holds, what it does, and whether it does the same again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.errors import WorkloadError
from ringfence.sandbox.sandbox import FenceSpec, Limits, OnEvent, Sandbox, TaskResult
from ringfence.sandbox.tasks import close_outputs, run_task
from ringfence.simulators.domain import Manifest
from ringfence.simulators.scan import Contents, Scan
from ringfence_workload.wire import memory

LIMITS = Limits(wall_seconds=600.0, cpu_seconds=600)
MAX_REPORT = 32 << 20


@dataclass(frozen=True)
class Examiner:
    """Runs the looks at one bundle, each in a fence of its own: `name` stands in their names.

    The scan has its own, so that no code of the bundle can change what is reported about it; the second rollout has
    its own, so that what differs from process to process shows.
    """

    sandbox: Sandbox
    bundle: int
    name: str
    should_stop: Callable[[], bool] | None = None

    def scan(self) -> tuple[Scan, Contents]:
        """Return what is in the bundle; none of it is run.

        Raises:
            WorkloadError: it can't be looked through.
        """
        result = self._run("simulator.scan")
        try:
            report = json.loads(memory.read_all(result.outputs["scan.json"], MAX_REPORT))
        except (KeyError, ValueError, OSError) as error:
            raise WorkloadError("simulator.scan", "The scan of the bundle left no report.",
                                fix="Build the simulator again.") from error
        finally:
            close_outputs(result)
        if not isinstance(report, dict):
            raise WorkloadError("simulator.scan", "The scan's report is none.", fix="Build the simulator again.")
        return Scan.from_json({**report, "counts": result.values.get("counts")}), Contents.from_json(report)

    def inspect(self) -> Manifest:
        """Return what the simulator is, once it has shown that it is sound.

        Raises:
            WorkloadError: `simulator.*`: what is wrong with it.
        """
        values = self._values("simulator.inspect")
        manifest = Manifest.from_json(values)
        self.require_same_replay(values)
        return manifest

    def require_same_replay(self, values: Mapping[str, Any]) -> None:
        """Roll the simulator out once more, in another process.

        Raises:
            WorkloadError: `simulator.not_reproducible`.
        """
        if not values.get("replay") or self._values("simulator.replay").get("replay") != values["replay"]:
            raise WorkloadError(
                "simulator.not_reproducible", "The same seed gives another rollout in another process.", field="reset",
                fix="Let nothing depend on time, process ids or what else differs from one process to the next.")

    def check(self, on_event: OnEvent | None = None) -> dict[str, Any]:
        """Return all that an author wants to know: see the workload's `simulator.check`."""
        return self._values("simulator.check", on_event)

    def _values(self, task: str, on_event: OnEvent | None = None) -> dict[str, Any]:
        result = self._run(task, on_event)
        close_outputs(result)
        return result.values

    def _run(self, task: str, on_event: OnEvent | None = None) -> TaskResult:
        spec = FenceSpec(f"{task.partition('.')[2]}-{self.name}", limits=LIMITS)
        return run_task(self.sandbox, spec, task, {}, {"bundle": self.bundle}, on_event, self.should_stop)
