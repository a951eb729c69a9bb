"""A workload that takes too much hurts itself only."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ringfence.sandbox.sandbox import FenceSpec
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests import fences
from tests.fences import SMALL

FILL = """
import os
def fill(folder):
    written = 0
    try:
        with open(f'{folder}/filler', 'ab', buffering=0) as file:
            while written < 1 << 28:
                written += file.write(bytes(1 << 20))
    except OSError as error:
        return written, error.strerror
    return written, 'no end'
for folder in ('/tmp', '/dev/shm', '/', '/dev', '/opt', '/etc', '/opt/python/lib', '/usr/lib', '/proc', '/run',
               '/var/tmp'):
    print(folder, fill(folder), flush=True)
"""


def test_a_fork_bomb_stays_within_its_limit(fence: BubblewrapSandbox) -> None:
    code = ("import os, time\nborn = 0\ntry:\n    for born in range(10_000):\n        if not os.fork():\n"
            "            time.sleep(30); os._exit(0)\nexcept OSError as error: print(born, error)\nos._exit(5)")
    ended = fences.inside(fence, code, replace(SMALL, processes=20))
    assert int(ended.log.split()[0]) < 20
    assert "Resource temporarily unavailable" in ended.log
    assert "it had reached its limit of 20 processes" in ended.reason


def test_threads_count_as_processes(fence: BubblewrapSandbox) -> None:
    code = ("import threading, time\nfor born in range(1000):\n"
            "    try: threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
            "    except RuntimeError as error: print(born, error); break\nimport os; os._exit(0)")
    assert int(fences.inside(fence, code, replace(SMALL, processes=20)).log.split()[0]) < 20


def test_memory_is_limited_for_all_processes_together(fence: BubblewrapSandbox) -> None:
    if not any(guarantee.name == "memory" and guarantee.enforced for guarantee in fence.guarantees()):
        pytest.skip("this host has no writable memory cgroup; `doctor` says so")
    code = ("import os, time\nfor _ in range(6):\n    if not os.fork(): x = b'x' * (80 << 20); time.sleep(30); "
            "os._exit(0)\nos.wait(); print('one died')\nos._exit(1)")
    ended = fences.inside(fence, code)
    assert "it ran out of memory: its limit is 0.25 GiB" in ended.reason


def test_memory_files_count_as_memory(fence: BubblewrapSandbox) -> None:
    code = ("import os\nd = os.memfd_create('x')\nfor _ in range(1024): os.write(d, b'x' * (1 << 20))\nprint('no end')")
    ended = fences.inside(fence, code)
    assert "no end" not in ended.log
    assert "memory" in ended.reason


def test_only_the_private_folder_can_be_filled_and_only_so_far(fence: BubblewrapSandbox) -> None:
    lines = fences.inside(fence, FILL).log.splitlines()
    found = {line.split(" ")[0]: line.split(" ", 1)[1] for line in lines if line.startswith("/")}
    assert len(found) == 11
    assert "No space left on device" in found["/tmp"] and "no end" not in found["/tmp"]
    written = int(found["/tmp"][1:].split(",")[0])
    assert 12 << 20 < written <= 16 << 20
    # /dev/shm is a link to the same folder, which is full.
    assert all(text.startswith("(0,") for folder, text in found.items() if folder != "/tmp")


def test_descriptors_are_limited(fence: BubblewrapSandbox) -> None:
    code = "import os\nopened = 0\ntry:\n    while True: os.dup(0); opened += 1\nexcept OSError: print(opened)"
    assert int(fences.inside(fence, code, replace(SMALL, open_files=64)).log.split()[0]) < 64


def test_a_flooded_log_is_slowed_and_cut(fence: BubblewrapSandbox) -> None:
    started = time.monotonic()
    with fences.running(fence, "import os\nwhile True: os.write(1, b'x' * 65536)",
                        FenceSpec("flood", limits=replace(SMALL, wall_seconds=1.0, log_bytes=1000))) as workload:
        ended = workload.wait(20)
    assert ended.reason == "it ran longer than its 1 s"
    assert len(ended.log) < 1100
    assert ended.cpu_seconds < 0.9 * (time.monotonic() - started), "it was never made to wait"


def test_the_cpu_is_chosen_from_outside(fence: BubblewrapSandbox) -> None:
    spec = FenceSpec("pinned", limits=SMALL, cpus=frozenset({0}))
    code = ("import os\nprint(os.sched_getaffinity(0))\n"
            "try: os.sched_setaffinity(0, {0, 1})\nexcept OSError as error: print(error)")
    with fences.running(fence, code, spec) as workload:
        log = workload.wait(20).log
    assert log.startswith("{0}\n[Errno 1]")
