"""How every claim of speed is measured: ours and the peer interleaved, on a machine that does nothing else.

A bench file describes `Claim`s over `Variant`s and calls `run`. Each variant is sampled in turn, at least five
times; a sample counts only if the rest of the machine used at most .15 of a core meanwhile, else the run refuses
to report. The table shows medians, spread, ratio and CPU time; the same goes to bench/results/NAME.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
SAMPLES = 5
MAX_OTHER_LOAD = 0.15
LOAD_PATIENCE = 120.0


class BusyError(Exception):
    """Something else uses the machine: no figure taken now could be believed."""


@dataclass(frozen=True)
class Variant:
    """One thing that is measured: `sample` does some work and returns (units of work, seconds)."""

    name: str
    unit: str
    sample: Callable[[], tuple[float, float]]


@dataclass(frozen=True)
class Claim:
    """`ours` against `peer` (a variant's name, or "" for a plain figure), better `higher` or `lower` than `goal`."""

    id: str
    claim: str
    ours: str
    peer: str
    better: str
    goal: float
    why: str = ""


@dataclass(frozen=True)
class Measured:
    """The rates of one variant (units per second) and its CPU microseconds per unit."""

    rates: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle rate."""
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """Greatest less least, as a share of the median."""
        return (max(self.rates) - min(self.rates)) / self.median


def run(name: str, variants: Sequence[Variant], claims: Sequence[Claim], *, samples: int = SAMPLES,
        own_load: bool = False) -> int:
    """Measure, print the table, write the results; return the exit status: 0, or 3 where the machine was busy.

    `own_load` says that the claim itself makes the load, so that none is looked for.
    """
    try:
        measured = measure(variants, samples, own_load=own_load)
    except BusyError as error:
        print(f"{name}: no figures: {error}", file=sys.stderr)
        return 3
    results = [judge(claim, measured, {variant.name: variant.unit for variant in variants}) for claim in claims]
    print(table(name, variants, measured, results))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


def measure(variants: Sequence[Variant], samples: int, *, own_load: bool = False) -> dict[str, Measured]:
    """Sample each variant in turn, `samples` times over, after one that is thrown away.

    Raises:
        BusyError: something else used the machine.
    """
    rates: dict[str, list[float]] = {variant.name: [] for variant in variants}
    cpu: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for number in range(samples + 1):
        for variant in variants:
            rate, used = undisturbed(variant, own_load=own_load)
            if number:
                rates[variant.name].append(rate)
                cpu[variant.name].append(used)
    return {name: Measured(tuple(rates[name]), tuple(cpu[name])) for name in rates}


def undisturbed(variant: Variant, *, own_load: bool = False) -> tuple[float, float]:
    """Take samples until nothing else used the machine during one; return its rate and its CPU microseconds a unit.

    Raises:
        BusyError: that took longer than LOAD_PATIENCE seconds.
    """
    deadline = time.monotonic() + LOAD_PATIENCE
    while True:
        started, busy, own = time.monotonic(), busy_seconds(), own_seconds()
        units, seconds = variant.sample()
        used = own_seconds() - own
        other = (busy_seconds() - busy - used) / (time.monotonic() - started)
        if own_load or other <= MAX_OTHER_LOAD:
            return units / seconds, used / units * 1e6
        if time.monotonic() > deadline:
            raise BusyError(f"something else uses {other:.2f} of a core; at most {MAX_OTHER_LOAD} is allowed")


def own_seconds() -> float:
    """Return the CPU seconds of this process and of all that descend from it, those that ended included."""
    used: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                used[int(folder.name)] = sum(int(word) for word in fields[11:15])
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    total, left = 0, [os.getpid()]
    while left:
        pid = left.pop()
        total += used.get(pid, 0)
        left += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Return the CPU seconds that the whole machine has used: all but idle and waiting, of /proc/stat."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _waiting, hard, soft, stolen = fields
    return (user + nice + system + hard + soft + stolen) / os.sysconf("SC_CLK_TCK")


def judge(claim: Claim, measured: Mapping[str, Measured], units: Mapping[str, str]) -> dict[str, Any]:
    """Return one claim's result, as bench/results keeps it."""
    ours, peer = measured[claim.ours], measured.get(claim.peer)
    ratio = ours.median / peer.median if peer else ours.median
    met = ratio >= claim.goal if claim.better == "higher" else ratio <= claim.goal
    return {"id": claim.id, "claim": claim.claim, "ours": ours.median, "peer": peer.median if peer else None,
            "unit": units[claim.ours], "ratio": round(ratio, 4), "better": claim.better, "goal": claim.goal, "met": met,
            "samples": len(ours.rates), "spread": round(max(ours.spread, peer.spread if peer else 0.0), 4),
            "why": "" if met else claim.why or "Missed in this run."}


def table(name: str, variants: Sequence[Variant], measured: Mapping[str, Measured],
          results: Sequence[Mapping[str, Any]]) -> str:
    """Return both tables, what was measured and what is claimed, as text."""
    lines = [f"\n{name}", f"{'variant':34}{'median':>14}{'spread':>9}{'CPU us':>10}  unit"]
    for variant in variants:
        found = measured[variant.name]
        lines.append(f"{variant.name:34}{found.median:14,.0f}{found.spread:9.0%}{statistics.median(found.cpu):10.2f}"
                     f"  {variant.unit}")
    lines.append(f"\n{'claim':34}{'ratio':>14}{'goal':>9}{'':>10}  met")
    for result in results:
        sign = ">=" if result["better"] == "higher" else "<="
        lines.append(f"{result['id']:34}{result['ratio']:14.2f}{sign:>5}{result['goal']:4}{'':>10}  "
                     f"{'yes' if result['met'] else 'NO'}")
    return "\n".join(lines)
