"""Markdown that does not depend on the terminal or the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made from the code by `make reference`: change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """Return a whole page."""
    return "\n\n".join([f"# {title}", NOTICE, *(part.strip() for part in parts if part.strip())]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing when there are no rows; columns that are empty in every row are left out."""
    body = [[_cell(cell) for cell in row] for row in rows]
    kept = [place for place in range(len(header)) if any(row[place] for row in body)]
    lines = [[header[place] for place in kept], ["---"] * len(kept), *([row[place] for place in kept] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if body else ""


def code(text: object) -> str:
    """Return text as code, or nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[object]) -> str:
    """Return texts as code, with commas."""
    return ", ".join(code(text) for text in texts)


def sentence(docstring: str | None) -> str:
    """Return a docstring's first paragraph in one line."""
    return " ".join((docstring or "").strip().partition("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
