"""Sealed memory files: the only bulk data that crosses a fence.

A memfd that its peer could shrink kills its reader with SIGBUS, and one that its peer could rewrite changes
between check and use. So bytes cross only in a memfd whose seals forbid both (Linux `fcntl(2)`, F_ADD_SEALS).
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

IMMUTABLE = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
FIXED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class NotSealedError(ValueError):
    """The descriptor is not a memory file with the seals that make it safe to map."""


def create(name: str) -> int:
    """Return the descriptor of a new, empty, sealable memory file."""
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal(descriptor: int, seals: int = IMMUTABLE) -> int:
    """Add `seals` to the memory file and rewind it; return the same descriptor."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def sealed(data: bytes | memoryview, name: str = "data") -> int:
    """Return the descriptor of an immutable memory file that holds `data`."""
    descriptor = create(name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return seal(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def shared_block(size: int, name: str = "channel") -> int:
    """Return the descriptor of a writable memory file of `size` bytes whose size can never change."""
    descriptor = create(name)
    try:
        os.ftruncate(descriptor, size)
        return seal(descriptor, FIXED_SIZE)
    except BaseException:
        os.close(descriptor)
        raise


def require_seals(descriptor: int, seals: int = IMMUTABLE) -> int:
    """Return the file's size in bytes.

    Raises:
        NotSealedError: the descriptor is no memory file, or lacks one of `seals`.
    """
    try:
        present = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError as error:
        raise NotSealedError("the descriptor is not a memory file") from error
    if present & seals != seals:
        raise NotSealedError(f"the memory file has seals {present:#x}, needed are {seals:#x}")
    return os.fstat(descriptor).st_size


@contextmanager
def mapped(descriptor: int) -> Iterator[memoryview]:
    """Map an immutable memory file read-only for the length of the block.

    Raises:
        NotSealedError: as `require_seals`.
    """
    size = require_seals(descriptor)
    if not size:
        yield memoryview(b"")
        return
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as block, memoryview(block) as view:
        yield view


def read_all(descriptor: int, limit: int) -> bytes:
    """Return the bytes of an immutable memory file.

    Raises:
        NotSealedError: as `require_seals`, or the file is larger than `limit` bytes.
    """
    size = require_seals(descriptor)
    if size > limit:
        raise NotSealedError(f"the memory file holds {size} bytes, at most {limit} are taken")
    with mapped(descriptor) as view:
        return bytes(view)
