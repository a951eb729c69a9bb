"""Runs code inside a real fence, or the same code outside, and hands back what came of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ringfence.sandbox.sandbox import Exit, FenceSpec, Limits
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox, FencedWorkload
from tests.bundles import bundle

CHECKOUT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = Path(os.environ.get("RINGFENCE_TEST_ENVIRONMENTS", CHECKOUT / ".venv/envs"))
SMALL = Limits(memory=256 << 20, temporary=16 << 20, wall_seconds=30.0, cpu_seconds=20)

# What a workload's code writes to its keeper when it has come this far.
SAY_UP = """
import json, os, struct
_body = json.dumps({"event": "progress", "share": 0.0, "text": "up"}).encode()
os.write(3, struct.pack("!IB", len(_body), 0) + _body)
"""


@contextmanager
def sandbox(state: Path) -> Iterator[BubblewrapSandbox]:
    """Open a sandbox over the checkout's environments."""
    with closing(BubblewrapSandbox(ENVIRONMENTS, state)) as opened:
        yield opened


@contextmanager
def running(fences: BubblewrapSandbox, code: str, spec: FenceSpec | None = None) -> Iterator[FencedWorkload]:
    """Run `code` in a fence, as the module of a simulator that the platform is asked to inspect."""
    project = bundle(code)
    try:
        with fences.start(spec or FenceSpec("tested", limits=SMALL)) as workload:
            workload.connection.send({"task": "simulator.inspect", "parameters": {}, "inputs": ["bundle"]}, [project])
            yield workload
    finally:
        os.close(project)


def inside(fences: BubblewrapSandbox, code: str, limits: Limits = SMALL, environment: str = "base") -> Exit:
    """Run `code` in a fence to its end; `log` has what it printed."""
    with running(fences, code, FenceSpec("tested", environment, limits)) as workload:
        return workload.wait(60)


def outside(code: str, environment: str = "base", timeout: float = 60) -> str:
    """Run `code` in no fence, with the environment's interpreter; return what it printed."""
    done = subprocess.run([ENVIRONMENTS / environment / "bin/python", "-c", code], capture_output=True, text=True,
                          timeout=timeout, check=False)
    return done.stdout + done.stderr
