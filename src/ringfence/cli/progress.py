"""Progress on stderr while something takes long: only in a terminal, and never with --json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ringfence.cli.output import Json

Advance = Callable[[float, str], None]


@contextmanager
def bar(title: str, *, hidden: bool = False) -> Iterator[Advance]:
    """Show a bar for the block; call what it yields with the share in [0, 1] that is done and a few words."""
    if hidden or not sys.stderr.isatty():
        yield lambda _share, _text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0, text="")
        yield lambda share, text: progress.update(task, completed=share, text=text)


def follow(advance: Advance) -> Callable[[Json], None]:
    """Return what moves the bar with a job."""
    return lambda view: advance(float(view.get("share") or 0.0), str(view.get("text") or ""))
