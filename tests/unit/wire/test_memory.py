from __future__ import annotations

import fcntl
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_workload.wire import memory
from ringfence_workload.wire.memory import NotSealedError


@given(st.binary(max_size=10_000))
def test_sealed_bytes_come_back_and_cannot_change(data: bytes) -> None:
    descriptor = memory.sealed(data)
    assert memory.read_all(descriptor, len(data)) == data
    for attack in (lambda: os.pwrite(descriptor, b"x", 0), lambda: os.ftruncate(descriptor, len(data) + 1),
                   lambda: os.ftruncate(descriptor, 0) if data else os.ftruncate(descriptor, 1),
                   lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)):
        with pytest.raises(PermissionError):
            attack()
    assert memory.read_all(descriptor, len(data)) == data
    os.close(descriptor)


def test_a_shared_block_can_be_written_but_never_resized() -> None:
    descriptor = memory.shared_block(8192)
    with mmap.mmap(descriptor, 8192) as block:
        block[:2] = b"ok"
    for size in (0, 4096, 16384):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    assert memory.require_seals(descriptor, memory.FIXED_SIZE) == 8192
    with pytest.raises(NotSealedError):
        memory.require_seals(descriptor)
    os.close(descriptor)


def test_more_than_the_limit_is_not_read() -> None:
    descriptor = memory.sealed(b"x" * 11)
    with pytest.raises(NotSealedError):
        memory.read_all(descriptor, 10)
    os.close(descriptor)


def test_what_is_no_memory_file_is_refused() -> None:
    for descriptor in (os.open("/dev/null", os.O_RDONLY), *os.pipe()):
        with pytest.raises(NotSealedError):
            memory.require_seals(descriptor)
        os.close(descriptor)
