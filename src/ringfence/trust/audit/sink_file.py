"""The JSON-lines file sink: a copy of the trail that the machine's own tools can follow, ship and search.

`audit.jsonl` is rotated by size to `audit-NUMBER.jsonl`, by the number of its first record; put together in this order
the files are an export (see `chain`) without its signed end. Beside it, `audit.state` says how many bytes are
confirmed and their digest. What lies after them is what a dead process was writing: it is compared with what is
delivered next, so nothing is lost and nothing stands there twice.

A file that was altered is set aside as `audit-altered-TIME.jsonl`, the incident is kept, and what it should have held
is delivered anew. That finds accidents and clumsy hands; against someone who also writes a fitting `audit.state` stand
the chain and the signed checkpoints inside the file. Rotated files may be moved away, and are not looked at again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ringfence.errors import DISK_FULL, MissingError, TamperedError, UnavailableError
from ringfence.trust import private_files
from ringfence.trust.audit.sink import NOTHING, Entry, Incident, place_of

_INCIDENTS = 20
_LINE = 1 << 20  # bytes: more than the longest line of a trail
_NO_BYTES = hashlib.sha256().hexdigest()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    """What is confirmed: the last place and its record's hash; the same from before the file began; its bytes."""

    held: int = NOTHING
    tip: str = ""  # empty: not known
    before: int = NOTHING
    before_tip: str = ""
    bytes: int = 0
    digest: str = _NO_BYTES
    incidents: tuple[Incident, ...] = ()


class FileSink:
    """Implements `Sink` in a private folder. `largest`: bytes after which a file is rotated."""

    name = "file"

    def __init__(self, folder: Path, largest: int = 64 << 20) -> None:
        self._folder, self._largest = folder, largest
        self._path, self._state_path = folder / "audit.jsonl", folder / "audit.state"
        self._state: _State | None = None
        self._incidents: tuple[Incident, ...] = ()
        self._hash = hashlib.sha256()
        self._descriptor = -1
        self._seen: tuple[int, ...] = ()

    def held(self) -> int:
        """See `Sink.held`."""
        return self._opened().held

    def incidents(self) -> tuple[Incident, ...]:
        """See `Sink.incidents`."""
        return self._incidents

    def deliver(self, entries: Sequence[Entry]) -> None:
        """See `Sink.deliver`."""
        state = self._opened()
        wanted = [entry for entry in entries if entry.place > state.held]
        _require_chain(wanted, state.tip)
        try:
            self._require_unaltered(state)
            if not wanted:
                self._require_no_more(state)
                return
            if state.bytes >= self._largest and wanted[0].place % 2 == 0 and self._size() == state.bytes:
                state = self._rotated(state)
            self._take(state, wanted)
        except OSError as error:
            raise _down(self._path, error) from error

    def close(self) -> None:
        """See `Sink.close`; it opens itself again when it is used."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._state = -1, None

    def _take(self, state: _State, entries: Sequence[Entry]) -> None:
        data = b"".join(f"{entry.line}\n".encode() for entry in entries)
        there = self._already_there(state, data)
        _write(self._descriptor, data[there:], state.bytes + there)
        os.fsync(self._descriptor)
        digest = self._hash.copy()
        digest.update(data)
        tip = next((entry.hash for entry in reversed(entries) if entry.hash), state.tip)
        self._save(replace(state, held=entries[-1].place, tip=tip, bytes=state.bytes + len(data),
                           digest=digest.hexdigest()))
        self._hash, self._seen = digest, self._signature()

    def _already_there(self, state: _State, data: bytes) -> int:
        """Return how many bytes of `data` a process that died has written."""
        tail = os.pread(self._descriptor, len(data), state.bytes)
        same = _common(tail, data)
        if same < len(tail):
            self._require_torn(state, state.bytes + same)
        return same

    def _require_torn(self, state: _State, at: int) -> None:
        """Cut off what a machine that lost its power leaves where it was writing: zeros. Nothing else may be there."""
        if os.pread(self._descriptor, _LINE, at).strip(b"\0"):
            raise self._altered(state, "Something that is not of the trail was written into it.")
        log.warning("The torn end of %s is written again", self._path)
        os.ftruncate(self._descriptor, at)

    def _require_unaltered(self, state: _State) -> None:
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            raise self._altered(state, "It was removed.") from None
        mine = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise self._altered(state, "Another file was put in its place.")
        private_files.require_private(self._path, mine)
        if mine.st_size < state.bytes:
            raise self._altered(state, f"It was shortened from {state.bytes} bytes to {mine.st_size}.")
        if self._signature() != self._seen:
            if self._digest(state.bytes).hexdigest() != state.digest:
                raise self._altered(state, "What was written into it before was changed.")
            self._seen = self._signature()

    def _require_no_more(self, state: _State) -> None:
        if self._size() > state.bytes:
            self._require_torn(state, state.bytes)

    def _altered(self, state: _State, what: str) -> TamperedError:
        """Keep the evidence and the incident, and go back to where this file began."""
        now = datetime.now(UTC)
        aside = self._folder / f"audit-altered-{now:%Y%m%dT%H%M%S.%fZ}.jsonl"
        problem = f"The audit file {self._path} was altered behind the platform's back: {what}"
        incidents = (*state.incidents, Incident(now.isoformat(timespec="seconds"), problem))[-_INCIDENTS:]
        log.error("%s What is left of it is kept as %s, and a new one written from the database.", problem, aside.name)
        self._save(_State(held=state.before, tip=state.before_tip, before=state.before, before_tip=state.before_tip,
                          incidents=incidents))
        if os.path.lexists(self._path):
            self._path.rename(aside)
        self.close()
        return TamperedError("audit.sink_altered", problem, value=str(self._path),
                             fix=f"Compare {aside.name} with the new file, and find out who can write there.")

    def _rotated(self, state: _State) -> _State:
        target, begun = self._rotated_path(state), _begun(state)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, f"{target.name} is in the way")
        self._path.rename(target)
        try:
            self._save(begun)
            self._start(begun)
        except BaseException:
            self.close()  # opened again, it sees that the file was rotated
            raise
        return begun

    def _rotated_path(self, state: _State) -> Path:
        return self._folder / f"audit-{state.before // 2 + 1:012d}.jsonl"

    def _opened(self) -> _State:
        if self._state is None:
            try:
                private_files.make_folder(self._folder)
                for draft in self._folder.glob(f".{self._state_path.name}.*"):
                    draft.unlink()
                state = self._read_state()
                self._incidents = state.incidents
                if state.bytes and not os.path.lexists(self._path) and self._was_rotated(state):
                    state = _begun(state)
                    self._save(state)
                self._start(state)
            except OSError as error:
                raise _down(self._path, error) from error
        assert self._state is not None
        return self._state

    def _start(self, state: _State) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if state.bytes and not os.path.lexists(self._path):
            raise self._altered(state, "It was removed.")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._state, self._hash, self._seen = state, hashlib.sha256(), ()
        if state.bytes:
            self._require_unaltered(state)
            self._hash = self._digest(state.bytes)
        else:
            _sync(self._folder)

    def _read_state(self) -> _State:
        try:
            values = json.loads(private_files.read(self._state_path))
            return _State(**{**values, "incidents": tuple(Incident(**one) for one in values["incidents"])})
        except (MissingError, ValueError, TypeError, KeyError):
            return self._without_state()

    def _without_state(self) -> _State:
        """Return where the file there begins, nothing of it confirmed: then all of it is compared with the trail."""
        first = place_of(_first_line(self._path))
        rotated = sorted(self._folder.glob("audit-[0-9]*.jsonl"))
        if first is None and rotated:
            last = place_of(_last_line(rotated[-1]))
            first = None if last is None else last + 1
        before = NOTHING if first is None else first - 1
        return _State(held=before, before=before)

    def _was_rotated(self, state: _State) -> bool:
        """Say whether a process died after it had renamed the file, before it could say so."""
        try:
            contents = self._rotated_path(state).read_bytes()
        except FileNotFoundError:
            return False
        return hashlib.sha256(contents).hexdigest() == state.digest

    def _save(self, state: _State) -> None:
        private_files.write(self._state_path, json.dumps(asdict(state)).encode())
        self._state, self._incidents = state, state.incidents

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def _signature(self) -> tuple[int, ...]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _digest(self, length: int) -> hashlib._Hash:
        digest, at = hashlib.sha256(), 0
        while at < length and (part := os.pread(self._descriptor, min(_LINE, length - at), at)):
            digest.update(part)
            at += len(part)
        return digest


def _begun(state: _State) -> _State:
    """Return the state with a new file after the one that was rotated."""
    return replace(state, before=state.held, before_tip=state.tip, bytes=0, digest=_NO_BYTES)


def _require_chain(entries: Sequence[Entry], tip: str) -> None:
    for entry in entries:
        if entry.hash:
            if tip and entry.previous != tip:
                raise forked(f"record {entry.seq} in the database does not follow from the last one that it holds")
            tip = entry.hash


def forked(what: str) -> TamperedError:
    """Return the error that a sink and the database no longer hold the same trail."""
    return TamperedError("audit.sink_fork", f"The audit sink and the database hold different trails: {what}.",
                         fix="Was an older database restored? Verify the trail, keep the sink's files as evidence, and "
                         "move them away: then everything is delivered anew.")


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes both begin with."""
    if other.startswith(one):
        return len(one)
    return next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), len(other))


def _write(descriptor: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(_LINE).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _LINE, 0))
        lines = file.read().splitlines()
    return lines[-1].decode(errors="replace") if lines else ""


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _down(path: Path, error: OSError) -> UnavailableError:
    what = "The disk that holds it is full" if error.errno in DISK_FULL else error.strerror
    return UnavailableError("audit.sink_down", f"The audit file {path} can't be written: {what}.", value=str(path),
                            fix="Free some space or correct its permissions; what it lacks is delivered by itself.")
