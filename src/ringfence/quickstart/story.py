"""What every stage shares: the home, the options, the journal, the cast."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ringfence.client import Client
from ringfence.errors import RingfenceError, UnavailableError
from ringfence.quickstart.cast import Cast
from ringfence.quickstart.display import Advance, Display
from ringfence.quickstart.journal import Journal

DATASET = "icu-stays"
SIMULATOR = "icu-sepsis"
ENDPOINT = "sepsis-advisor"
RUNS = ("offline", "online")


@dataclass(frozen=True)
class Options:
    """How large a story to tell; the defaults are the full main job."""

    stays: int = 20_000
    seed: int = 7
    online_steps: int = 0  # 0: as the run's specification says
    episodes: int = 0  # 0: as the run's specification says
    port: int = 0  # 0: the default port, or a free one where it is taken
    keep_running: bool = True


@dataclass
class Story:
    """One quickstart in one home."""

    home: Path
    example: Path
    options: Options
    journal: Journal
    display: Display
    cast: Cast

    @property
    def source(self) -> Path:
        """The raw CSV, as the hospital has it: the user's own file, outside the platform."""
        return self.home / "source" / "icu_stays.csv"

    @property
    def simulator_project(self) -> Path:
        """The simulator project, with its tables prepared."""
        return self.home / "source" / "simulator"

    @property
    def evidence(self) -> Path:
        """What a verifier takes away: the trail, the model, the public keys."""
        folder = self.home / "evidence"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def fact(self, name: str) -> Any:
        """Return a fact that an earlier stage remembered."""
        return self.journal.facts[name]

    def text(self, name: str) -> str:
        """Return one of the example's files."""
        return (self.example / name).read_text()

    def run_spec(self, kind: str) -> str:
        """Return a run specification of the example, sized by the options."""
        spec = yaml.safe_load(self.text(f"runs/{kind}.yaml"))
        if self.options.online_steps and "budget" in spec:
            spec["budget"]["steps"] = self.options.online_steps
        if self.options.episodes:
            spec["evaluation"]["episodes"] = self.options.episodes
        return str(yaml.safe_dump(spec, sort_keys=False))


def run_example(story: Story, script: str, *arguments: str) -> None:
    """Run one of the example's own scripts, as a user would.

    Raises:
        UnavailableError: it failed; its last line says why.
    """
    command = [sys.executable, str(story.example / script), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise UnavailableError("quickstart.example", f"{script} failed: {last}.",
                               fix="See `examples/icu_sepsis/README.md`; then run the same command again.")


def ringfence(home: Path, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run the command line as a user would, with --json; return what it printed.

    Raises:
        RingfenceError: as the command reported.
    """
    command = [sys.executable, "-m", "ringfence", *arguments, "--json"]
    finished = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False,
                              env=_environment(home))
    if finished.returncode:
        lines = (finished.stderr or finished.stdout).strip().splitlines()
        raise RingfenceError("quickstart.command", lines[-1] if lines else f"`ringfence {arguments[0]}` failed.")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def wait_for(client: Client, job: dict[str, Any], advance: Advance, start: float = 0.0, end: float = 1.0,
             ) -> dict[str, Any]:
    """Wait for a job, moving the stage's bar from `start` to `end`; return the job's result."""
    finished = client.wait_job(job["id"], on_progress=lambda view: advance(
        start + (end - start) * float(view.get("share") or 0.0), str(view.get("text") or "")))
    advance(end, "")
    result: dict[str, Any] = finished.get("result") or {}
    return result


def forget(home: Path) -> None:
    """Remove a completed story's files, and only these; the summary last, as it marks the story as complete."""
    for name in ("platform", "client", "source", "evidence"):
        shutil.rmtree(home / name, ignore_errors=True)
    for name in ("learning_curve.png", "secrets.json", "quickstart.json", "summary.json"):
        (home / name).unlink(missing_ok=True)


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "RINGFENCE_HOME": str(home)}
