"""`ringfence quickstart`: tells the whole story, continues an interrupted one, starts afresh after a completed one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from ringfence.errors import InvalidError, RingfenceError, UnavailableError
from ringfence.quickstart import stages_data, stages_model, stages_proof, summary
from ringfence.quickstart.cast import EXPLORER, Cast
from ringfence.quickstart.display import Advance, Display
from ringfence.quickstart.journal import Journal, exclusive, write_private
from ringfence.quickstart.stages_data import Told
from ringfence.quickstart.story import Options, Story, forget, ringfence
from ringfence.supervisor.home import Home, unusable

STAGES: dict[str, tuple[str, Callable[[Story, Advance], Told]]] = {
    "start": ("Start", stages_data.start),
    "ingest": ("Ingest", stages_data.ingest),
    "release": ("Release", stages_data.release),
    "train": ("Train", stages_model.train),
    "evaluate": ("Evaluate", stages_model.evaluate),
    "register": ("Register", stages_model.register),
    "deploy": ("Deploy", stages_model.deploy),
    "prove": ("Prove", stages_proof.prove),
}


def quickstart(home: Path, options: Options, *, as_json: bool = False) -> dict[str, Any]:
    """Tell the story in `home`; return the summary.

    Raises:
        RingfenceError: a stage failed; the same command continues there.
    """
    home = home.resolve()
    example = _example()
    try:
        _demo_home(home)
    except OSError as error:
        raise unusable(home, error) from error
    with exclusive(home):
        if (home / "summary.json").exists():
            _start_afresh(home)
        story = _story(home, example, options, as_json)
        try:
            _tell(story)
            _hand_over(story)
            content = summary.save(story)
        finally:
            story.cast.close()
        if not as_json:
            summary.show(story, content)
        _leave(story)
        broken = summary.failures(story, content)
    if broken:
        raise RingfenceError("quickstart.promise", f"Not every promise was kept: {'; '.join(broken)}.",
                             fix=f"See {home}/summary.json.")
    return content


def _tell(story: Story) -> None:
    for number, (name, (title, tell)) in enumerate(STAGES.items(), start=1):
        done = story.journal.stages.get(name)
        if done and name != "start":
            story.display.finished(number, title, done["happened"], done["seconds"], earlier=True)
            continue
        began = time.monotonic()
        try:
            with story.display.stage(number, title) as advance:
                happened, evidence = tell(story, advance)
        except BaseException:
            story.journal.spent(name, time.monotonic() - began)
            raise
        seconds = time.monotonic() - began
        if done:  # the platform was started again for a story that goes on
            seconds += float(done["seconds"])
        story.journal.finish(name, seconds, happened, evidence)
        story.display.finished(number, title, happened, seconds)


def _story(home: Path, example: Path, options: Options, as_json: bool) -> Story:
    console = Console(stderr=as_json, highlight=False)
    journal = Journal.load(home / "quickstart.json")
    cast = Cast(str(journal.facts.get("url", "")), Path(journal.facts.get("ca", "")), home / "secrets.json")
    return Story(home, example, options, journal, Display(console, quiet=as_json), cast)


def _demo_home(home: Path) -> None:
    """Mark a new home as a demo for ever; refuse one that is somebody's real platform."""
    marker = Home(home).demo_file
    if not marker.exists():
        if home.exists() and any(entry.name not in ("quickstart.lock", ".DEMO.partial") for entry in home.iterdir()):
            raise InvalidError("quickstart.not_a_demo", f"{home} holds files that no quickstart has made.",
                               fix="Set RINGFENCE_HOME to a new folder: a quickstart never runs in a real home.",
                               field="RINGFENCE_HOME", value=str(home))
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(marker, b"This home was made by `ringfence quickstart`. It is a demo, and stays one.\n")


def _start_afresh(home: Path) -> None:
    if (home / "platform").exists():
        ringfence(home, "down")
    forget(home)


def _hand_over(story: Story) -> None:
    """Log the explorer in, and keep its password for the user."""
    password = story.cast.secret(EXPLORER)
    write_private(story.home / "client" / "explorer.json",
                  json.dumps({"name": EXPLORER, "password": password}).encode())
    ringfence(story.home, "login", EXPLORER, "--password-stdin", stdin=f"{password}\n")


def _leave(story: Story) -> None:
    """Forget every other secret; stop the platform if asked to."""
    story.cast.secrets_file.unlink(missing_ok=True)
    if not story.options.keep_running:
        ringfence(story.home, "down")


def _example() -> Path:
    """Return the folder of the ICU-Sepsis example.

    Raises:
        UnavailableError: this installation has no examples, or lacks the packages that the demo needs.
    """
    folder = Path(__file__).resolve().parents[3] / "examples" / "icu_sepsis"
    if not folder.exists():
        raise UnavailableError("quickstart.no_example", "This installation carries no examples.",
                               fix="Clone the repository and run `make demo` there.")
    missing = [name for name in ("faker", "icu_sepsis", "matplotlib") if not _installed(name)]
    if missing:
        raise UnavailableError("quickstart.no_packages", f"The quickstart needs {', '.join(missing)}.",
                               fix="Install them with `pip install 'ringfence[demo]'`, or run `make demo`.")
    return folder


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
