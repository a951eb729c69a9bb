"""Looks at a simulator project before it is handed in: `python -m ringfence.simulators.check < bundle` prints JSON.

It needs a fence and the `base` environment, and no running platform. What it says is what admission will say, and what
Gymnasium's own checker says besides.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ringfence.errors import RingfenceError, WorkloadError
from ringfence.sandbox.sandbox import Sandbox
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.settings import load
from ringfence.simulators.examination import Examiner
from ringfence.simulators.scan import REFUSED, Scan
from ringfence_workload.wire import memory

Json = dict[str, Any]
_TEXTS = ("name", "state", "detail", "code", "fix", "field", "value")
_STATES = ("ok", "warning", "failed")


def examine(sandbox: Sandbox, bundle: bytes) -> Json:
    """Return the report: passed, summary, digest, simulator, checks, findings, counts, advisories, measures.

    Raises:
        UnavailableError: no fence can be had, or the environment is not installed.
    """
    descriptor = memory.sealed(bundle)
    try:
        examiner = Examiner(sandbox, descriptor, "check")
        scan, looked = _scanned(examiner)
        simulator, tried = _tried(examiner)
    finally:
        os.close(descriptor)
    checks = [*looked, *tried]
    refused = [one for one in scan.findings if one.severity in REFUSED] if scan else []
    failed = sum(check["state"] == "failed" for check in checks)
    findings = [asdict(one) for one in scan.findings] if scan else []
    return {"passed": not failed and not refused and scan is not None, "summary": _summary(failed, len(refused)),
            "digest": f"sha256:{hashlib.sha256(bundle).hexdigest()}", "simulator": simulator, "checks": checks,
            "findings": findings, "counts": dict(scan.counts) if scan else {},
            "advisories": scan.advisories if scan else "not checked"}


def _scanned(examiner: Examiner) -> tuple[Scan | None, list[Json]]:
    try:
        return examiner.scan()[0], []
    except WorkloadError as error:
        return None, [_failed("scan", error)]


def _tried(examiner: Examiner) -> tuple[Json | None, list[Json]]:
    """Return what the simulator says of itself, and each check, both rebuilt from checked parts."""
    try:
        values = examiner.check()
    except WorkloadError as error:
        return None, [_failed("fence", error)]
    listed = values.get("checks")
    checks = [{key: str(one.get(key, ""))[:2000] for key in _TEXTS} for one in listed if isinstance(one, dict)] \
        if isinstance(listed, list) else []
    if not checks or any(check["state"] not in _STATES for check in checks):
        return None, [_failed("fence", WorkloadError("workload.misbehaved", "The checks did not come back."))]
    simulator = values.get("simulator")
    if not isinstance(simulator, dict):
        return None, checks
    if simulator.get("replay"):
        checks.append(_repeated(examiner, simulator))
    return simulator, checks


def _repeated(examiner: Examiner, simulator: Json) -> Json:
    try:
        examiner.require_same_replay(simulator)
    except WorkloadError as error:
        return _failed("replay in another process", error)
    return {**dict.fromkeys(_TEXTS, ""), "name": "replay in another process", "state": "ok",
            "detail": "the same rollout, bit for bit"}


def _failed(name: str, error: RingfenceError) -> Json:
    return {"name": name, "state": "failed", "detail": error.message, "code": error.code, "fix": error.fix,
            "field": error.field, "value": error.value}


def _summary(failed: int, refused: int) -> str:
    if failed:
        return f"{failed} {'check' if failed == 1 else 'checks'} failed: the platform would not admit it."
    if refused:
        return f"{refused} high or critical {'finding' if refused == 1 else 'findings'}: policy would not admit it."
    return "The platform would admit it: hand it in with `ringfence sim build`."


def main() -> int:
    """Print the report on the bundle that comes in; 0 when the platform would admit it, 2 when it can't be tried."""
    try:
        with tempfile.TemporaryDirectory() as scratch, \
                closing(BubblewrapSandbox(load().environments, Path(scratch))) as sandbox:
            report = examine(sandbox, sys.stdin.buffer.read())
    except RingfenceError as error:
        print(json.dumps({"error": error.as_problem()}))
        return 2
    print(json.dumps(report))
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
