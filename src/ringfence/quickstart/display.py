"""What a person sees while the story runs: a line per finished stage, and a bar for the one at work.

Without a terminal there are only the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[float, str], None]


class Display:
    """Progress of the stages on `console`."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console, self._quiet = console, quiet

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        if not self._quiet:
            self.console.print(text, highlight=False)

    def finished(self, number: int, title: str, happened: str, seconds: float, *, earlier: bool = False) -> None:
        """Print a stage's closing line."""
        when = "done before" if earlier else f"{seconds:.0f} s"
        self.say(f"[green]✔[/] [bold]{number}. {title}[/]  {happened} [dim]({when})[/]")

    @contextmanager
    def stage(self, number: int, title: str) -> Iterator[Advance]:
        """Show stage `number` at work; the yielded function moves its bar."""
        if self._quiet or not self.console.is_terminal:
            yield lambda _share, _text: None
            return
        columns = (SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(bar_width=28),
                   TaskProgressColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.fields[text]}"))
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(f"{number}. {title}", total=1.0, text="")
            yield lambda share, text: progress.update(task, completed=share, text=text[: self.console.width // 3])
