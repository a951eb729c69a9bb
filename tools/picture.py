"""Draw the README's pictures from the last `make demo`: its closing tables as SVG, and its learning curve."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from rich.console import Console

from ringfence.quickstart import summary
from ringfence.quickstart.cast import Cast
from ringfence.quickstart.display import Display
from ringfence.quickstart.journal import Journal
from ringfence.quickstart.story import Options, Story

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write docs/pictures/{demo.svg,learning_curve.png}."""
    home, pictures = ROOT / ".demo", ROOT / "docs" / "pictures"
    if not (home / "summary.json").exists():
        print("Run `make demo` first.", file=sys.stderr)
        return 1
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True)
    journal = Journal.load(home / "quickstart.json")
    story = Story(home, ROOT, Options(keep_running=False), journal, Display(console), Cast("", home, home / "none"))
    console.print("[bold]$ make demo[/]")
    for number, (name, stage) in enumerate(journal.stages.items(), start=1):
        story.display.finished(number, name.capitalize(), stage["happened"], stage["seconds"])
    summary.show_results(story, summary.summary(story))
    pictures.mkdir(exist_ok=True)
    console.save_svg(str(pictures / "demo.svg"), title="ringfence quickstart")
    shutil.copyfile(home / "learning_curve.png", pictures / "learning_curve.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
