"""What every sandbox does: one suite, every adapter."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import UnavailableError, WorkloadError
from ringfence.sandbox.sandbox import FenceSpec, Limits
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.sandbox.tasks import close_outputs, run_task, start_service
from ringfence_workload.wire import memory
from ringfence_workload.wire.channel import create_channel, parameters
from ringfence_workload.wire.spaces import from_json
from tests import fences
from tests.bundles import CARTPOLE, bundle

ADAPTERS = {"bubblewrap": fences.sandbox}


@pytest.fixture(scope="module", params=sorted(ADAPTERS))
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with ADAPTERS[request.param](tmp_path_factory.mktemp("state")) as opened:
        yield opened


def open_descriptors() -> set[str]:
    return {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{name}")}


def test_a_task_comes_back_with_its_values(sandbox: BubblewrapSandbox) -> None:
    project = bundle(CARTPOLE, name="cart-pole")
    result = run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project})
    os.close(project)
    close_outputs(result)
    assert result.values["name"] == "cart-pole"
    assert result.values["action_space"] == {"type": "Discrete", "n": 2, "start": 0}
    assert result.values["observation_space"]["shape"] == [4]
    assert (result.exit.status, result.exit.reason) == (0, "it finished")
    assert result.exit.cpu_seconds > 0 and result.exit.wall_seconds > 0


def test_a_tasks_error_keeps_its_code_field_and_fix(sandbox: BubblewrapSandbox) -> None:
    project = memory.sealed(b"not a tar")
    with pytest.raises(WorkloadError) as caught:
        run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project})
    os.close(project)
    assert caught.value.code == "simulator.bundle_broken"
    assert caught.value.fix == "Build it again."


def test_a_service_is_ready_then_ends_with_its_block(sandbox: BubblewrapSandbox) -> None:
    box = from_json({"type": "Box", "shape": [4], "dtype": "float32", "high": [4.800000190734863, None,
                     0.41887903213500977, None], "low": [-4.800000190734863, None, -0.41887903213500977, None]})
    action = from_json({"type": "Discrete", "n": 2, "start": 0})
    channel, project = create_channel(box, action, 2), bundle(CARTPOLE)
    workload, ready = start_service(sandbox, FenceSpec("serve"), "simulator.serve", parameters(box, action, 2),
                                    {"bundle": project, **channel.inputs()})
    with workload:
        assert ready["name"] == "tested"
        assert Path("/proc", str(workload.pid)).exists()
    assert not Path("/proc", str(workload.pid)).exists()
    assert workload.wait().reason == "its keeper was done with it"
    channel.close()
    os.close(project)


@pytest.mark.parametrize(("code", "limits", "reason"), [
    ("import os; os._exit(7)", {}, "it ended with status 7"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {}, "signal 9 ended it"),
    ("import ctypes; ctypes.string_at(0)", {}, "signal 11 ended it (SIGSEGV"),
    ("while True: pass", {"cpu_seconds": 1}, "it used more than its 1 s of CPU time"),
    ("import time; time.sleep(60)", {"wall_seconds": 1.0}, "it ran longer than its 1 s"),
    ("x = b'x' * (1 << 30)", {"memory": 256 << 20}, "it ran out of memory: its limit is 0.25 GiB"),
], ids=["exit", "kill", "crash", "cpu", "wall", "memory"])
def test_an_end_has_its_reason_in_plain_words(sandbox: BubblewrapSandbox, code: str, limits: dict[str, Any],
                                              reason: str) -> None:
    assert reason in fences.inside(sandbox, code, Limits(**limits)).reason


def test_a_task_that_dies_is_an_error_with_the_reason(sandbox: BubblewrapSandbox) -> None:
    project = bundle("import os; os._exit(7)")
    with pytest.raises(WorkloadError) as caught:
        run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project})
    os.close(project)
    assert caught.value.code == "workload.died"
    assert "it ended with status 7" in caught.value.message


def test_a_task_stops_when_it_should(sandbox: BubblewrapSandbox) -> None:
    project, asked = bundle("import time; time.sleep(60)"), threading.Event()

    def should_stop() -> bool:
        stop = asked.is_set()
        asked.set()
        return stop

    with pytest.raises(WorkloadError) as caught:
        run_task(sandbox, FenceSpec("inspect"), "simulator.inspect", {}, {"bundle": project}, should_stop=should_stop)
    os.close(project)
    assert caught.value.code == "workload.stopped"


def test_waiting_and_killing_are_idempotent(sandbox: BubblewrapSandbox) -> None:
    with fences.running(sandbox, "import time; time.sleep(60)") as workload:
        with pytest.raises(TimeoutError):
            workload.wait(0.01)
        first = workload.kill("the test said so")
        assert first.reason == "the test said so"
        assert workload.kill("another reason") == first == workload.wait()


def test_the_log_is_captured_and_cut(sandbox: BubblewrapSandbox) -> None:
    code = "import sys; print('to stdout'); print('to stderr', file=sys.stderr); print('\\x00\\xff' * 100_000)"
    ended = fences.inside(sandbox, code, Limits(log_bytes=10_000))
    assert ended.log.startswith("to stdout\nto stderr\n")
    assert len(ended.log) < 11_000
    assert "more bytes were cut off" in ended.log


def test_a_missing_environment_says_how_to_install_it(sandbox: BubblewrapSandbox) -> None:
    for name in ("no-such", "../base", "", "base/../base"):
        with pytest.raises(UnavailableError) as caught:
            sandbox.start(FenceSpec("x", environment=name))
        assert caught.value.code == "sandbox.environment_missing"
        assert "pip install -r" in caught.value.fix


def test_guarantees_name_what_is_enforced(sandbox: BubblewrapSandbox) -> None:
    guarantees = {guarantee.name: guarantee for guarantee in sandbox.guarantees()}
    assert {"namespaces", "network", "system_calls", "file_system", "distinct_user", "memory",
            "processes"} <= set(guarantees)
    assert all(guarantee.fix for guarantee in guarantees.values() if not guarantee.enforced)


def test_many_threads_start_workloads_of_distinct_users(sandbox: BubblewrapSandbox) -> None:
    barrier = threading.Barrier(6, timeout=30)

    def start(number: int) -> int:
        with fences.running(sandbox, "import time; time.sleep(60)") as workload:
            barrier.wait()
            return workload.uid

    with ThreadPoolExecutor(6) as pool:
        uids = list(pool.map(start, range(6)))
    assert len(set(uids)) == 6 if os.geteuid() == 0 else set(uids) == {os.geteuid()}


def test_a_workload_outlives_the_thread_that_started_it(sandbox: BubblewrapSandbox) -> None:
    """Linux sends a parent-death signal when the parent's *thread* ends."""
    project = bundle("import time; time.sleep(0.6); print('still here')")
    with ThreadPoolExecutor(1) as pool:
        workload = pool.submit(sandbox.start, FenceSpec("threaded")).result()
    with workload:
        workload.connection.send({"task": "simulator.inspect", "parameters": {}, "inputs": ["bundle"]}, [project])
        assert "still here" in workload.wait(30).log
    os.close(project)


def test_nothing_is_left_open(sandbox: BubblewrapSandbox) -> None:
    fences.inside(sandbox, "pass")
    before = open_descriptors()
    for _ in range(3):
        fences.inside(sandbox, "raise SystemExit")
    assert open_descriptors() <= before


def test_a_sandbox_starts_again_after_it_was_closed(tmp_path: Path) -> None:
    with fences.sandbox(tmp_path) as opened:
        opened.guarantees()
        opened.close()
        assert fences.inside(opened, "print('again')").log.startswith("again")


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "modules"), [
    ("base", "numpy, polars, gymnasium, safetensors.numpy, yaml"),
    ("sb3", "torch, stable_baselines3, gymnasium, polars, safetensors.torch")])
def test_what_workloads_import_works_under_the_filter(sandbox: BubblewrapSandbox, environment: str,
                                                      modules: str) -> None:
    ended = fences.inside(sandbox, f"import {modules}\nprint('imported')", Limits(), environment)
    assert "imported" in ended.log
