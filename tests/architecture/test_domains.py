"""Across domains only values cross: `domain.py`. A verb of another domain is a port, which `app.py` fills."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ringfence"
DOMAINS = ("data", "simulators", "training", "registry", "serving")


def foreign(path: Path, domain: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "ringfence" and len(parts) > 1 and parts[1] in DOMAINS and parts[1] != domain:
                yield name


@pytest.mark.parametrize("domain", DOMAINS)
def test_only_values_are_imported_from_another_domain(domain: str) -> None:
    crossing = {name for path in (SOURCE / domain).rglob("*.py") for name in foreign(path, domain)}
    assert {name for name in crossing if name.split(".")[2:3] != ["domain"]} == set()


def test_only_the_composition_root_picks_adapters() -> None:
    adapters = {"keys_file", "blobs_file", "engine_embedded", "sandbox_bubblewrap"}
    pickers = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[-1] in adapters:
                pickers.add(path.relative_to(SOURCE).as_posix())
    own = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if path.stem in adapters}
    # The doctor looks at the very fence that the platform would use, and `sim check` tries a simulator in it without a
    # platform; the policy service tries a module out.
    assert pickers - own <= {"app.py", "doctor.py", "simulators/check.py", "trust/policy/module.py"}
