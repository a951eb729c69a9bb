"""Files that only the platform's own user may read: written whole or not at all, refused when others may read them."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from ringfence.errors import DISK_FULL, MissingError, UnavailableError

_LARGEST = 1 << 16


def make_folder(folder: Path) -> None:
    """Make the folder with mode 0700, and require that it is private.

    Raises:
        UnavailableError: it can't be made, or others may enter it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(folder, folder.stat())
    except OSError as error:
        raise _unusable(folder, error) from error


def read(path: Path) -> bytes:
    """Return the contents of a private file; a link is not followed.

    Raises:
        MissingError: it is not there.
        UnavailableError: others may read or write it, it is another user's, or it can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            require_private(path, os.fstat(descriptor))
            return file.read(_LARGEST)
    except FileNotFoundError:
        raise MissingError("file.missing", f"{path} is not there.", value=str(path)) from None
    except OSError as error:
        raise _unusable(path, error) from error


def write(path: Path, contents: bytes) -> None:
    """Put a file of mode 0600 in place, durably, over one that may be there.

    Raises:
        UnavailableError: it can't be written.
    """
    with _Temporary(path, contents) as temporary:
        temporary.replace(path)


def create(path: Path, contents: bytes) -> None:
    """Put a file of mode 0600 in place, durably; if another process was first, its file stays.

    Raises:
        UnavailableError: it can't be written.
    """
    with _Temporary(path, contents) as temporary, suppress(FileExistsError):
        os.link(temporary, path)


def require_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file or folder that others may use.

    Raises:
        UnavailableError: `keys.permissions` or `keys.owner`.
    """
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UnavailableError("keys.permissions", f"Others than its owner may read or write {path}.",
                               fix=f"Run: chmod go= {path}", value=str(path))
    if status.st_uid != os.geteuid():
        raise UnavailableError("keys.owner", f"{path} belongs to another user than the one the platform runs as.",
                               fix=f"Run: chown {os.geteuid()} {path}", value=str(path))


class _Temporary:
    """A written and synced file beside its destination; on leaving, the folder is synced and the file is gone."""

    def __init__(self, path: Path, contents: bytes) -> None:
        self._path, self._contents = path, contents
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")

    def __enter__(self) -> Path:
        try:
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._contents)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            self._remove()
            raise _unusable(self._path, error) from error
        return self._temporary

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._remove()
        if isinstance(error, OSError):
            raise _unusable(self._path, error) from error
        if error is None:
            _sync(self._path.parent)

    def _remove(self) -> None:
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> UnavailableError:
    if error.errno in DISK_FULL:
        return UnavailableError("storage.disk_full", f"The disk that holds {path} is full.",
                                fix="Free some space and run the command again; nothing was half-written.")
    return UnavailableError("keys.unusable", f"{path} can't be used: {error.strerror}.",
                            fix="Check the disk and the owner of its folder with `ringfence doctor`.", value=str(path))
