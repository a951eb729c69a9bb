"""What a scan of a bundle found, rebuilt from what the fenced scanner reports. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ringfence.errors import WorkloadError

SEVERITIES = ("low", "medium", "high", "critical")
# What the shipped rules refuse (policies/ringfence/simulators.rego); said beforehand by `ringfence sim check`.
REFUSED = frozenset({"high", "critical"})
MAX_FINDINGS, MAX_FILES, MAX_PACKAGES = 500, 20_000, 2000
NOT_CHECKED = "not checked"
_RULE = re.compile(r"[a-z]{1,20}\.[a-z_]{1,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Finding:
    """One thing found. `line` 0 means the whole file; `evidence` is masked: it never shows a secret."""

    severity: str
    rule: str
    file: str
    line: int
    evidence: str

    @property
    def where(self) -> str:
        """Return `file:line`."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Scan:
    """The findings, the worst first; `advisories` says whether known vulnerabilities were looked up; the list's digest.

    `sbom` is the digest of the bill of materials, stored beside the bundle.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    advisories: str = NOT_CHECKED
    sbom: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the scan as JSON values."""
        return {"findings": [asdict(one) for one in self.findings], "counts": dict(self.counts),
                "advisories": self.advisories, "sbom": self.sbom}

    def as_facts(self) -> dict[str, Any]:
        """Return what policy is told and the trail keeps: rules and places, no evidence."""
        worst = [{"severity": one.severity, "rule": one.rule, "file": one.file, "line": one.line}
                 for one in self.findings[:20]]
        return {"findings": worst, "finding_counts": dict(self.counts), "advisories": self.advisories}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scan:
        """Rebuild a scan from the catalogue or from a scanner's report.

        Raises:
            WorkloadError: `simulator.scan`: it is not what a scanner reports; nothing counts as clean by accident.
        """
        listed = values.get("findings")
        if not isinstance(listed, list) or len(listed) > MAX_FINDINGS:
            raise _bad("findings")
        findings = tuple(_finding(item) for item in listed)
        counted = values.get("counts")
        if not isinstance(counted, dict) or not all(_count(counted.get(severity)) for severity in SEVERITIES):
            raise _bad("counts")
        counts = {severity: int(counted[severity]) for severity in SEVERITIES}
        if any(sum(one.severity == severity for one in findings) > counts[severity] for severity in SEVERITIES) \
                or (not findings and any(counts.values())):
            raise _bad("counts")
        ordered = sorted(findings, key=lambda one: -SEVERITIES.index(one.severity))
        return cls(tuple(ordered), counts, NOT_CHECKED, str(values.get("sbom", ""))[:80])


@dataclass(frozen=True)
class Contents:
    """What a bundle and its environment hold: files (name, size, SHA-256 in hex), packages (name, version, licence)."""

    files: tuple[tuple[str, int, str], ...]
    packages: tuple[tuple[str, str, str], ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Contents:
        """Rebuild the listing from a scanner's report.

        Raises:
            WorkloadError: `simulator.scan`.
        """
        files, packages = values.get("files"), values.get("packages")
        if not isinstance(files, list) or not isinstance(packages, list) or len(files) > MAX_FILES \
                or len(packages) > MAX_PACKAGES:
            raise _bad("files")
        return cls(tuple(_file(item) for item in files),
                   tuple((_text(item, "name"), _text(item, "version"), _text(item, "licence")) for item in packages))


def _finding(item: Any) -> Finding:
    severity, rule = _text(item, "severity"), _text(item, "rule")
    if severity not in SEVERITIES or not _RULE.fullmatch(rule) or not _count(item.get("line")):
        raise _bad("findings")
    return Finding(severity, rule, _text(item, "file"), int(item["line"]), _text(item, "evidence"))


def _file(item: Any) -> tuple[str, int, str]:
    digest = _text(item, "sha256")
    if not _SHA256.fullmatch(digest) or not _count(item.get("size")):
        raise _bad("files")
    return _text(item, "name"), int(item["size"]), digest


def _text(item: Any, field: str) -> str:
    value = item.get(field) if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise _bad(field)
    return "".join(character if character.isprintable() else "?" for character in value[:300])


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _bad(field: str) -> WorkloadError:
    return WorkloadError("simulator.scan", f"The scan's {field} can't be: the bundle counts as not scanned.",
                         field=field, fix="Build the simulator again.")
