from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests.data_platform import SCIENTIST, WORKER
from tests.fences import sandbox
from tests.run_platform import RunPlatform, promote, tabular

DIGEST = "sha256:" + "ab" * 32
BETTER = {"agent": {"mean": 0.9, "ci_low": 0.8, "ci_high": 1.0, "episodes": 9},
          "clinicians": {"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6, "episodes": 9}}


@pytest.fixture(scope="module")
def fences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield opened


@pytest.fixture
def platform(tmp_path: Path, fences: BubblewrapSandbox) -> Iterator[RunPlatform]:
    """A platform with walk@1 (always ahead) in production, and walk@2 (always back) registered only."""
    opened = RunPlatform(tmp_path, fences)
    for number, policy in enumerate(([0.0, 1.0], [1.0, 0.0]), 1):
        provenance = {"run": f"run-{number}", "seed": 1, "spec_digest": DIGEST, "dataset": None, "simulators": {},
                      "code": {"revision": "v", "digest": DIGEST}}
        opened.registry.register(WORKER, name="walk", run=f"run-{number}", trained_by="sam", content={
            **tabular([policy] * 5), "evaluation.json": json.dumps({"evaluation": BETTER}).encode(),
            "provenance.json": json.dumps(provenance).encode()}, context={"on_behalf_of": SCIENTIST.as_input()})
    promote(opened, "walk@1")
    yield opened
    opened.serving.close()
    opened.database.close()
