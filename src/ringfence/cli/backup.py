"""`ringfence backup`: everything that the platform keeps, in one encrypted file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts
from ringfence.cli.session import connect, read_text, require_writable, unwritable, write_secret
from ringfence.errors import InvalidError, UnavailableError, from_problem

backup = typer.Typer(no_args_is_help=True, help="Backups: make, verify, restore.")
File = Annotated[Path, typer.Argument(help="The backup.")]
KeyFile = Annotated[Path, typer.Option(help="File with the recovery key of this backup.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(backup, name="backup")


@backup.command(epilog="Example: ringfence backup create monday.backup --recovery-key-file monday.key")
def create(output: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.")],
           recovery_key_file: Annotated[Path | None, typer.Option(help="Put the key here (mode 0600).")] = None,
           as_json: AsJson = False) -> None:
    """Back up database, keys and objects while the platform runs; the recovery key is shown this once."""
    from ringfence.backup.domain import RecoveryKey

    for path in (output, recovery_key_file):
        require_writable(path)
        if path and path.exists():
            raise InvalidError("file.exists", f"{path} is there already.", field="file", value=str(path),
                               fix="Choose another path: neither a backup nor its key is written over.")
    key = RecoveryKey.new()
    with connect() as client:
        size = _written(output, client.create_backup(key.text()), recovery_key_file, key.text())
    view: Json = {"file": str(output), "bytes": size, "recovery_key_id": key.id}
    view |= {"recovery_key_file": str(recovery_key_file)} if recovery_key_file else {"recovery_key": key.text()}
    emit(view, as_json, lambda _: facts("Backed up.", {
        "File": str(output), "Bytes": size, "Recovery key (shown once)": view.get("recovery_key"),
        "Recovery key in": view.get("recovery_key_file"),
        "Next": f"ringfence backup verify {output}; keep the key elsewhere than the backup"}))


def _written(output: Path, parts: Iterator[bytes], key_file: Path | None, key: str) -> int:
    draft, size = output.with_name(f".{output.name}.{os.getpid()}.tmp"), 0
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for part in parts:
                size += file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if key_file:
            write_secret(key_file, key)  # first: a backup without its key is worth nothing
        draft.replace(output)
    except OSError as error:
        raise unwritable(output, str(error.strerror)) from error
    finally:
        draft.unlink(missing_ok=True)
    return size


@backup.command(epilog="Example: ringfence backup verify monday.backup --recovery-key-file monday.key   (offline)")
def verify(file: File, *, recovery_key_file: KeyFile, as_json: AsJson = False) -> None:
    """Verify every byte of a backup, its database, its audit chain and its objects. Needs no platform."""
    report = _offline("verify", file, recovery_key_file)
    emit(report, as_json, lambda _: facts("The backup holds.", _shown(report)))


@backup.command(epilog="Example: ringfence backup restore monday.backup --home ~/new --recovery-key-file monday.key")
def restore(file: File, *, home: Annotated[Path, typer.Option(help="Folder to make; empty, or not there yet.")],
            recovery_key_file: KeyFile, as_json: AsJson = False) -> None:
    """Verify a backup and make a home of it, whole or not at all. Needs no platform."""
    report = {"home": str(home.absolute()), **_offline("restore", file, recovery_key_file, home)}
    emit(report, as_json, lambda _: facts("Restored.", {"Home": report["home"], **_shown(report),
                                          "Next": f"RINGFENCE_HOME={report['home']} ringfence up"}))


def _offline(verb: str, file: Path, key_file: Path, home: Path | None = None) -> Json:
    import json
    import subprocess

    request = {"verb": verb, "file": str(file.absolute()), "recovery_key": read_text(key_file).strip(),
               "home": str(home.expanduser().absolute()) if home else ""}
    # In a process of its own, as it opens what only the platform opens: keys, objects, the database.
    finished = subprocess.run([sys.executable, "-m", "ringfence.offline"], input=json.dumps(request), text=True,
                              capture_output=True, check=False)
    try:
        answer: Json = json.loads(finished.stdout)
    except ValueError:
        raise UnavailableError("backup.failed", f"The backup could not be worked on: {finished.stderr.strip()[-300:]}",
                               fix="Look at the disk's room and the memory, and run it again.") from None
    if finished.returncode:
        raise from_problem(answer)
    return answer


def _shown(report: Json) -> Json:
    return {"Made": report["created_at"], "By version": report["version"], "Manifest": report["manifest"],
            "Files": report["files"], "Objects": report["objects"], "Bytes": report["bytes"],
            "Audit records": report["audit_records"]}
