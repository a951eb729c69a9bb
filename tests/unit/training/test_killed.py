"""A worker killed with SIGKILL at any point of a run: the next worker finishes it, once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.errors import ConflictError
from ringfence.registry.package import verify_package
from ringfence.storage.blobs import Zone
from tests.data_platform import SCIENTIST
from tests.killed_worker import POINTS
from tests.run_platform import MLOPS, OFFLINE, RunPlatform
from tests.soak import times

CHECKOUT = Path(__file__).resolve().parents[3]


def kill_at(folder: Path, point: str) -> None:
    """Start a worker, wait until it says that it has come to `point`, and kill it."""
    process = subprocess.Popen([sys.executable, "-m", "tests.killed_worker", str(folder), point], cwd=CHECKOUT,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        assert process.stdout.readline() == "halted\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("again", times(1, 25))
@pytest.mark.parametrize("point", [point for point in POINTS if point != "before training"])
def test_a_killed_workers_run_is_finished_by_the_next(platform: RunPlatform, point: str, again: int) -> None:
    run = platform.training.submit(SCIENTIST, OFFLINE)
    kill_at(platform.folder, point)
    assert platform.training.show(SCIENTIST, run.id).state not in ("done", "failed")

    assert platform.queue.recover("worker#") == 1  # what a worker does first, once the lock tells it that it is alone
    platform.blobs.sweep()
    platform.work()

    view = platform.training.show(SCIENTIST, run.id)
    assert (view.state, view.error, view.model) == ("done", None, "walk-offline@1")
    (model,) = platform.registry.list(MLOPS)
    assert (model.run, model.ref) == (run.id, "walk-offline@1")
    assert verify_package(platform.registry.package(MLOPS, model.ref), platform.registry.public_key()).valid
    metrics = platform.training.metrics(SCIENTIST, run.id)
    assert [metric.number for metric in metrics] == list(range(len(metrics)))
    assert len({metric.step for metric in metrics}) == len(metrics)
    assert platform.blobs.list(Zone.MODELS) == (f"model/{run.id}",)


@pytest.mark.slow
def test_a_second_worker_can_not_start_beside_a_live_one_and_can_after_its_death(platform: RunPlatform) -> None:
    platform.training.submit(SCIENTIST, OFFLINE)
    process = subprocess.Popen([sys.executable, "-m", "tests.killed_worker", str(platform.folder), "before training"],
                               cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        assert process.stdout.readline() == "halted\n"
        with pytest.raises(ConflictError):
            platform.worker().run()
        process.kill()
        process.wait(30)
    second = platform.worker()
    second.stop()
    second.run()  # takes the lock and what the dead one held, then ends
    assert platform.queue.waiting()
