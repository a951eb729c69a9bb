"""A keeper takes nothing that a workload says on trust."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from ringfence.errors import WorkloadError
from ringfence.sandbox.sandbox import FenceSpec
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.sandbox.tasks import run_task
from ringfence_workload.wire import memory
from tests.bundles import bundle
from tests.fences import SMALL

TOOLS = """
import json, os, socket, struct, time
control = socket.socket(fileno=3)
def say(payload, descriptors=(), announced=None):
    payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    count = len(descriptors) if announced is None else announced
    socket.send_fds(control, [struct.pack("!IB", len(payload), count) + payload], list(descriptors))
def linger():
    time.sleep(30)
result = {"event": "result", "values": {}, "outputs": []}
unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
"""
MISBEHAVIOUR = {
    "not_json": "say(b'\\xff\\xfe'); linger()",
    "not_an_object": "say([1, 2]); linger()",
    "not_a_number": "say(b'{\"event\": \"metric\", \"step\": 1, \"values\": {\"x\": NaN}}'); linger()",
    "deeply_nested": "say(b'[' * 1_000_000); linger()",
    "an_endless_frame": "control.sendall(struct.pack('!IB', 0xFFFFFFFF, 0)); linger()",
    "too_many_descriptors_announced": "say(result, (), 200); linger()",
    "fewer_descriptors_than_announced": "say(result, (), 2); linger()",
    "more_descriptors_than_announced": "say(result, [0, 1, 2], 0); linger()",
    "an_unknown_event": "say({'event': 'promote'}); linger()",
    "no_event": "say({}); linger()",
    "a_strange_share": "say({'event': 'progress', 'share': 'all', 'text': ''}); linger()",
    "a_number_beyond_floats": "say(b'{\"event\": \"progress\", \"text\": \"\", \"share\": 1' + b'0' * 4000 + b'}')",
    "an_unsealed_output": "say({**result, 'outputs': ['a']}, [unsealed]); linger()",
    "a_folder_as_output": "say({**result, 'outputs': ['a']}, [os.open('/tmp', os.O_RDONLY)]); linger()",
    "a_pipe_as_output": "say({**result, 'outputs': ['a']}, [os.pipe()[0]]); linger()",
    "outputs_without_names": "say(result, [unsealed]); linger()",
    "one_name_for_two_outputs": "say({**result, 'outputs': ['a', 'a']}, [unsealed, unsealed]); linger()",
}


def asked(fence: BubblewrapSandbox, code: str, **options: Any) -> Any:
    project = bundle(TOOLS + code)
    try:
        return run_task(fence, FenceSpec("hostile", limits=replace(SMALL, wall_seconds=options.pop("seconds", 20.0))),
                        "simulator.inspect", {}, {"bundle": project}, **options)
    finally:
        os.close(project)


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_workload_that_breaks_the_protocol_is_cut_off(name: str, fence: BubblewrapSandbox) -> None:
    fence.guarantees()  # its launcher stays, with a descriptor of its own
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(WorkloadError) as caught:
        asked(fence, MISBEHAVIOUR[name])
    assert caught.value.code == "workload.misbehaved"
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_flood_of_events_does_not_keep_it_alive(fence: BubblewrapSandbox) -> None:
    with pytest.raises(WorkloadError) as caught:
        asked(fence, "while True: say({'event': 'progress', 'share': 0.5, 'text': 'x' * 5000})", seconds=1.0)
    assert caught.value.code in ("workload.timeout", "workload.died")


def test_a_flood_of_events_does_not_hinder_a_stop(fence: BubblewrapSandbox) -> None:
    with pytest.raises(WorkloadError) as caught:
        asked(fence, "while True: say({'event': 'progress', 'share': 0.5, 'text': ''})", should_stop=lambda: True)
    assert caught.value.code == "workload.stopped"


def test_events_are_rebuilt_from_checked_parts(fence: BubblewrapSandbox) -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(WorkloadError):
        asked(fence, "say({'event': 'progress', 'share': 7, 'text': 'x' * 9000, 'actor': 'root'})\n"
              "say({'event': 'metric', 'step': 3, 'values': {'a': 1, 'b': None, 'c': 'text', 'd': [1]}, 'extra': 1})\n"
              "os._exit(0)", on_event=events.append)
    assert events == [{"event": "progress", "share": 1.0, "text": "x" * 2000},
                      {"event": "metric", "step": 3, "values": {"a": 1.0}}]


def test_an_input_can_be_neither_changed_nor_shrunk(fence: BubblewrapSandbox) -> None:
    project = bundle(TOOLS + """
for name in os.listdir('/proc/self/fd'):
    try:
        if 'memfd:data' not in os.readlink(f'/proc/self/fd/{name}'): continue
    except OSError: continue
    for attack in (lambda: os.ftruncate(int(name), 0), lambda: os.pwrite(int(name), b'x', 0),
                   lambda: os.truncate(f'/proc/self/fd/{name}', 0),
                   lambda: open(f'/proc/self/fd/{name}', 'r+b', buffering=0).write(b'x')):
        try: attack(); print('CHANGED')
        except OSError as error: print('refused', error.strerror)
raise SystemExit
""")
    before = memory.read_all(project, 1 << 20)
    with fence.start(FenceSpec("hostile", limits=SMALL)) as workload:
        workload.connection.send({"task": "simulator.inspect", "parameters": {}, "inputs": ["bundle"]}, [project])
        log = workload.wait(20).log
    assert log.count("refused") == 4 and "CHANGED" not in log
    assert memory.read_all(project, 1 << 20) == before
    os.close(project)
