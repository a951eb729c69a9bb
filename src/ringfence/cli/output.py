"""What the terminal shows: JSON for machines, tables for people, one line for an error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

Json = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

Cell = Callable[[Json], Any]


def emit(value: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print `value` as JSON, or let `show` print it for a person."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        show(value)


def say(text: str) -> None:
    """Print a line for a person; rich markup is understood."""
    _console().print(printable(text))


def printable(text: str) -> str:
    """Return text without what would steer a terminal: it may be the words of a simulator that is somebody else's."""
    return "".join(char for char in text if char.isprintable() or char == "\n")


def table(title: str, columns: Mapping[str, Cell | str], rows: Sequence[Json], *, empty: str) -> None:
    """Print rows as a table: each column is a key of the row, or a function of it. `empty` is said of no rows."""
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        say(empty)
        return
    grid = Table(title=title, title_justify="left", header_style="bold")
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        cells = (cell(row) if callable(cell) else row.get(cell) for cell in columns.values())
        grid.add_row(*(escape(text_of(value)) for value in cells))
    _console().print(grid)


def facts(title: str, values: Mapping[str, Any]) -> None:
    """Print names and values, one a line; empty ones are left out."""
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=title or None, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        if value not in (None, "", [], {}):
            grid.add_row(f"[bold]{escape(name)}[/]", escape(text_of(value)))
    _console().print(grid)


def text_of(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(text_of(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {text_of(part)}" for name, part in value.items())
    return printable(str(value))


def when(value: Any) -> str:
    """Return an ISO time to the second."""
    return str(value or "")[:19].replace("T", " ")


def score(value: Json | None) -> str:
    """Return an evaluation as `0.826 (0.824 to 0.828)`."""
    if not value:
        return ""
    return f"{value['mean']:.3f} ({value['ci_low']:.3f} to {value['ci_high']:.3f})"


def short(digest: Any) -> str:
    """Return the first characters of a digest, enough to tell it from others."""
    return f"{str(digest)[:19]}…" if digest else ""


def error_line(text: str) -> None:
    """Print the one line of an error to stderr."""
    print(printable(" ".join(text.split())), file=sys.stderr)


def _console() -> Any:
    from rich.console import Console

    # Where there is no terminal, nothing says how wide a line may be.
    return Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
