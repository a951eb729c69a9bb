"""A worker process that comes to a halt at one point of a run, says so, and waits to be killed.

    python -m tests.killed_worker FOLDER POINT
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringfence.registry.service import RegistryService
from ringfence.storage.blobs_file import FileBlobs
from ringfence.training.phases import Phases
from ringfence.training.store import MetricSink, RunStore
from tests.fences import sandbox
from tests.run_platform import RunPlatform

# Where a run can be cut off: (class, method, halt before it or after it).
POINTS: dict[str, tuple[type, str, bool]] = {
    "before training": (Phases, "train", True),
    "while the learner works": (MetricSink, "add", True),
    "learned, nothing stored": (Phases, "train", False),
    "one artefact stored": (FileBlobs, "put", False),
    "before evaluation": (Phases, "evaluate", True),
    "evaluated, nothing stored": (Phases, "evaluate", False),
    "before registration": (RegistryService, "register", True),
    "registered, the run not done": (RegistryService, "register", False),
    "a move of the run not committed": (RunStore, "move", False),
}


def halt_at(point: str) -> None:
    """Make the method of `point` halt this process."""
    owner, name, before = POINTS[point]
    real: Callable[..., Any] = getattr(owner, name)

    def halting(*arguments: Any, **named: Any) -> Any:
        if not before:
            real(*arguments, **named)
        sys.stdout.write("halted\n")
        sys.stdout.flush()
        signal.pause()

    setattr(owner, name, halting)


def main(folder: Path, point: str) -> None:
    """Work until the point is reached."""
    halt_at(point)
    with sandbox(folder / "run") as fences:
        RunPlatform(folder, fences).worker().run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
