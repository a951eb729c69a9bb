from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence_workload.wire.messages import MAX_DESCRIPTORS, Connection, PeerGoneError, PeerMisbehavedError

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(st.none() | st.booleans() | st.integers() | finite | st.text(),
                           lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    one, other = (Connection(end) for end in socket.socketpair())
    yield one, other
    one.close()
    other.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.text(), json_values), count=st.integers(0, MAX_DESCRIPTORS))
def test_a_message_arrives_whole_with_its_descriptors(pair: Any, body: dict[str, Any], count: int) -> None:
    files = [os.memfd_create(str(number)) for number in range(count)]
    for number, file in enumerate(files):
        os.write(file, bytes([number]))
    pair[0].send(body, files)
    message = pair[1].receive(5)
    assert message.body == body
    assert [os.pread(received, 2, 0) for received in message.descriptors] == [bytes([n]) for n in range(count)]
    assert not any(os.get_inheritable(received) for received in message.descriptors)
    message.close()
    for file in files:
        os.close(file)


def test_messages_longer_than_a_buffer_and_many_at_once(pair: tuple[Connection, Connection]) -> None:
    bodies = [{"text": "x" * size} for size in (0, 3_000_000, 1, 70_000)]
    sender = threading.Thread(target=lambda: [pair[0].send(body) for body in bodies])
    sender.start()
    assert [pair[1].receive(10).body for _ in bodies] == bodies
    sender.join()


def test_a_wait_ends_at_its_time(pair: tuple[Connection, Connection]) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        pair[0].receive(0.05)
    assert time.monotonic() - started < 2


def test_a_send_is_not_bound_by_the_last_waits_time(pair: tuple[Connection, Connection]) -> None:
    with pytest.raises(TimeoutError):
        pair[0].receive(0.001)
    reader = threading.Timer(0.2, pair[1].receive)
    reader.start()
    pair[0].send({"text": "x" * 4_000_000})
    reader.join()


def test_a_peer_that_takes_nothing_does_not_hold_the_sender(pair: tuple[Connection, Connection]) -> None:
    with pytest.raises(TimeoutError):
        pair[0].send({"text": "x" * 4_000_000}, timeout=0.05)


def test_a_peer_that_left_is_gone(pair: tuple[Connection, Connection]) -> None:
    pair[0].close()
    with pytest.raises(PeerGoneError):
        pair[1].receive(1)
    with pytest.raises(PeerGoneError):
        pair[1].send({"text": "x" * 1_000_000})


@pytest.mark.parametrize("frame", [
    struct.pack("!IB", 1 << 31, 0), struct.pack("!IB", 2, 200), struct.pack("!IB", 2, 0) + b"[]",
    struct.pack("!IB", 2, 1) + b"{}", struct.pack("!IB", 1, 0) + b"\xff", struct.pack("!IB", 3, 0) + b"NaN",
    struct.pack("!IB", 9, 0) + b'{"a":NaN}', struct.pack("!IB", 100_000, 0) + b"[" * 100_000,
])
def test_a_frame_that_is_not_allowed_is_refused(frame: bytes, pair: tuple[Connection, Connection]) -> None:
    raw = socket.socket(fileno=os.dup(pair[0].fileno()))
    raw.sendall(frame)
    with pytest.raises(PeerMisbehavedError):
        pair[1].receive(5)
    raw.close()


def test_a_shower_of_descriptors_is_refused_and_closed(pair: tuple[Connection, Connection]) -> None:
    raw, before = socket.socket(fileno=os.dup(pair[0].fileno())), len(os.listdir("/proc/self/fd"))
    raw.sendall(struct.pack("!IB", 1000, 0))
    for _ in range(40):
        socket.send_fds(raw, [b"x"], [0] * MAX_DESCRIPTORS)
    with pytest.raises(PeerMisbehavedError):
        pair[1].receive(5)
    assert len(os.listdir("/proc/self/fd")) == before
    raw.close()


def test_a_thread_that_waits_wakes_when_its_own_side_shuts(pair: tuple[Connection, Connection]) -> None:
    threading.Timer(0.05, pair[0].shut).start()
    with pytest.raises(PeerGoneError):
        pair[0].receive(10)
