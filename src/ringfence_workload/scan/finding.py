"""What a scan reports."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Finding:
    """One thing found. `line` is 0 where the whole file is meant; `evidence` never shows a secret."""

    severity: str
    rule: str
    file: str
    line: int
    evidence: str

    def order(self) -> tuple[int, str, int, str]:
        """Return what findings are sorted by: the worst first, then by place."""
        return -SEVERITIES.index(self.severity), self.file, self.line, self.rule


def masked(secret: str, shown: int = 4) -> str:
    """Return a secret as it may be shown: its beginning, and how long it is."""
    return f"{printable(secret[:shown])}… ({len(secret)} characters)"


def printable(text: str) -> str:
    """Return text that a terminal takes for nothing but text."""
    return "".join(character if character.isprintable() else "?" for character in text)
