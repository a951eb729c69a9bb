"""Docs are part of the work: what they point at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?://|#|mailto:)([^)#\s]+)")
QUOTED_PATH = re.compile(r"`((?:src|docs|tests|examples|policies|bench|tools|environments)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text()
    missing = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    missing += [path for path in QUOTED_PATH.findall(text) if not (ROOT / path).exists()]
    assert not missing


def test_every_adr_says_its_status_and_what_was_decided() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [page.name[:4] for page in pages]
    assert numbers == [f"{place:04d}" for place in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert "Status:" in text
        assert "## Decision" in text
