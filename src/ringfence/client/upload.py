"""Files and folders on their way to the platform: read in parts, counted, never held whole in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from ringfence.errors import InvalidError

OnShare = Callable[[float], None]

_PART = 1 << 20
_LEFT_OUT = frozenset({".git", ".hg", ".svn", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache",
                       ".hypothesis", ".ipynb_checkpoints", ".DS_Store"})


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex.

    Raises:
        InvalidError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def file_parts(path: Path, on_progress: OnShare | None = None) -> Iterator[bytes]:
    """Yield a file in parts of 1 MiB, telling `on_progress` the share in [0, 1] that is through."""
    size, sent = max(path.stat().st_size, 1), 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            yield part
            sent += len(part)
            if on_progress:
                on_progress(min(sent / size, 1.0))


def pack(folder: Path) -> bytes:
    """Return a simulator project as its bundle: the same folder gives the same bytes on every machine.

    An uncompressed PAX tar, names sorted, owner and times zeroed, modes 0644 or 0755; what version control and tools
    leave behind (`.git`, `.venv`, caches) is left out.

    Raises:
        InvalidError: no such folder, no `simulator.yaml` in it, or something that is neither file nor folder
            (a symlink could point outside the project).
    """
    if not (folder / "simulator.yaml").is_file():
        raise InvalidError("simulator.no_manifest", f"{folder} holds no simulator.yaml.", field="folder",
                           value=str(folder), fix="Give the folder of a simulator project.")
    buffer = BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in _members(folder):
                _add(archive, folder, path)
    except OSError as error:
        raise unreadable(folder, error) from error
    return buffer.getvalue()


def unreadable(path: Path, error: OSError) -> InvalidError:
    """Return the error that says why a local file can't be read."""
    return InvalidError("file.unreadable", f"{path} can't be read: {error.strerror or error}.", field="file",
                        value=str(path), fix="Check the path and its permissions.")


def _members(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(parent, name) for name in (*folders, *files) if name not in _LEFT_OUT]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _add(archive: tarfile.TarFile, folder: Path, path: Path) -> None:
    status, name = path.lstat(), path.relative_to(folder).as_posix()
    if not name.isprintable():
        raise InvalidError("simulator.not_a_file", f"{name!r} is no name that can be read everywhere.", field="folder",
                           value=ascii(name)[:200], fix="Rename the file.")
    entry = tarfile.TarInfo(name)
    if stat.S_ISDIR(status.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
        return
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "neither a file nor a folder"
        raise InvalidError("simulator.not_a_file", f"{name} is {kind}; a bundle holds files and folders only.",
                           field="folder", value=name, fix="Replace it with the file itself, or remove it.")
    content = path.read_bytes()
    entry.size, entry.mode = len(content), 0o755 if status.st_mode & 0o100 else 0o644
    archive.addfile(entry, BytesIO(content))
