"""The task that looks through a bundle. It runs in a fence of its own, before and apart from the simulator's code."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import yaml

from ringfence_workload.scan import calls, files, secrets
from ringfence_workload.scan.finding import SEVERITIES, Finding
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire import memory

MAX_BUNDLE, MAX_FILES, MAX_FINDINGS, MAX_SOURCE = 1 << 30, 20_000, 500, 4 << 20


@dataclass(frozen=True)
class Entry:
    """One file of the bundle."""

    name: str
    size: int
    sha256: str


def scan(job: Job) -> Result:
    """Look through a bundle; run nothing of it.

    Values: counts {severity: how many}. Output `scan.json`: findings (the worst first, at most 500), files
    (name, size, sha256), packages of the environment (name, version, licence), advisories ("not checked").
    Raises TaskError, `simulator.bundle_broken`.
    """
    findings, entries = look_through(memory.read_all(job.inputs["bundle"], MAX_BUNDLE))
    counts = {severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES}
    report = {"findings": [asdict(one) for one in findings[:MAX_FINDINGS]], "files": [asdict(one) for one in entries],
              "packages": installed(), "advisories": "not checked"}
    return Result({"counts": counts}, {"scan.json": json.dumps(report).encode()})


def look_through(bundle: bytes) -> tuple[list[Finding], list[Entry]]:
    """Return the findings, the worst first, and the files by name.

    Raises:
        TaskError: `simulator.bundle_broken`: it is no tar, or holds more files than a simulator has.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as archive:
            members = archive.getmembers()
            if len(members) > MAX_FILES:
                raise ValueError(f"it holds more than {MAX_FILES} files")
            names = [member.name for member in members]
            findings = [*_twice(names), *files.shadowing(names)]
            entries = []
            for member in members:
                content = _content(archive, member)
                findings += _of(member, content, set(names))
                if member.isreg():
                    entries.append(Entry(member.name, len(content), hashlib.sha256(content).hexdigest()))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise TaskError("simulator.bundle_broken", f"The bundle can't be looked through: {error}",
                        fix="Build it again.") from error
    return sorted(set(findings), key=Finding.order), sorted(entries, key=lambda entry: entry.name)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member) if member.isreg() else None
    return file.read() if file else b""


def _of(member: tarfile.TarInfo, content: bytes, names: set[str]) -> Iterator[Finding]:
    yield from files.of_member(member)
    if not member.isreg():
        return
    yield from files.of_content(member.name, content, names)
    yield from secrets.find(member.name, content)
    if member.name.endswith((".py", ".pyw")):
        if len(content) > MAX_SOURCE:
            yield Finding("high", "code.unreadable", member.name, 0, "a module this large is not looked into")
        else:
            yield from calls.find(member.name, content)
    if member.name == "simulator.yaml":
        yield from _licence(content)


def _twice(names: list[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield Finding("high", "file.twice", name, 0, "the bundle holds it more than once")
        seen.add(name)


def _licence(content: bytes) -> Iterator[Finding]:
    try:
        body = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    if not isinstance(body, dict) or not body.get("licences"):
        yield Finding("medium", "licence.missing", "simulator.yaml", 0, "it names no licences")


def installed() -> list[dict[str, Any]]:
    """Return the packages of this environment: name, version, licence ("" where none is stated)."""
    found = {}
    for package in metadata.distributions():
        about: Any = package.metadata
        licence = about.get("License-Expression") or about.get("License") or ""
        name = str(about.get("Name") or "")
        if name:
            found[name.lower()] = {"name": name, "version": package.version, "licence": licence.strip()[:80]}
    return [found[name] for name in sorted(found)]
