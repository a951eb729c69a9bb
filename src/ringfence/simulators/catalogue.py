"""The catalogue's rows: finding them, showing them, and what their signature says."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ringfence.errors import ConflictError, InvalidError, MissingError, TamperedError
from ringfence.simulators.domain import Manifest, SimulatorRef, SimulatorView
from ringfence.simulators.scan import Scan
from ringfence.simulators.tables import SimulatorRow
from ringfence.trust.keys.keys import Keys

SIGNING = "simulators"
# A row that is `removing` has its bundle deleted next; one that is `removed` only keeps its version from coming again.
ADMITTED, REMOVING, REMOVED = "admitted", "removing", "removed"


@dataclass(frozen=True)
class Verification:
    """Whether what is stored is what was admitted; `problem` says what is not."""

    ref: str
    digest: str
    valid: bool
    problem: str

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as the API shows it."""
        return asdict(self)


def find(session: Session, project: str, ref: str, states: Sequence[str] = (ADMITTED,)) -> SimulatorRow:
    """Return the row in one of `states` that a reference names, the latest of a bare name.

    Raises:
        InvalidError: it is no reference.
        MissingError: there is none.
    """
    wanted = SimulatorRef.parse(ref)
    rows = select(SimulatorRow).where(SimulatorRow.project == project, SimulatorRow.state.in_(states))
    if wanted.digest:
        rows = rows.where(SimulatorRow.digest == wanted.digest)
    else:
        rows = rows.where(SimulatorRow.name == wanted.name)
    if wanted.version:
        rows = rows.where(SimulatorRow.version == wanted.version)
    row = session.scalars(rows.order_by(SimulatorRow.admitted_at.desc()).limit(1)).first()
    if row is None:
        raise MissingError("simulator.missing", f"There is no admitted simulator {ref[:80]}.", field="simulator",
                           value=ref[:80], fix="`ringfence sim list` shows those that there are; "
                           "`ringfence sim build` adds one.")
    return row


def require_exact(ref: str) -> None:
    """Check that a reference names one version, whatever is built meanwhile.

    Raises:
        InvalidError: it is a bare name, or no reference.
    """
    wanted = SimulatorRef.parse(ref)
    if not (wanted.version or wanted.digest):
        raise InvalidError("simulator.version_missing", f"{ref} may be many simulators.", field="simulator", value=ref,
                           fix=f"Name one of them: {ref}@VERSION, or its digest.")


def admitted(session: Session, project: str, digest: str) -> SimulatorRow | None:
    """Return the admitted row of a bundle, if there is one."""
    return session.scalars(select(SimulatorRow).where(
        SimulatorRow.project == project, SimulatorRow.digest == digest, SimulatorRow.state == ADMITTED)).first()


def require_new(session: Session, project: str, manifest: Manifest, digest: str) -> None:
    """Make room for a row: a removed one of the same bundle gives way to it.

    Raises:
        ConflictError: its name and version are those of another bundle, even of one that was removed.
    """
    session.execute(delete(SimulatorRow).where(SimulatorRow.project == project, SimulatorRow.digest == digest,
                                               SimulatorRow.state == REMOVED))
    taken = session.scalars(select(SimulatorRow).where(
        SimulatorRow.project == project, SimulatorRow.name == manifest.name,
        SimulatorRow.version == manifest.version)).first()
    if taken is not None:
        raise ConflictError("simulator.version_taken",
                            f"{manifest.name}@{manifest.version} is another bundle already ({taken.digest[:19]}…).",
                            field="version", value=manifest.version, fix="Raise the version in simulator.yaml.")


def signed_row(keys: Keys, project: str, blob: str, *, digest: str, manifest: Manifest, scan: Scan) -> SimulatorRow:
    """Return the row of a bundle that is admitted now, signed."""
    signature = keys.sign(SIGNING, _statement(manifest.name, manifest.version, digest))
    return SimulatorRow(blob=blob, project=project, name=manifest.name, version=manifest.version, digest=digest,
                        manifest=json.dumps({**manifest.as_json(), "scan": scan.as_json()}), state=ADMITTED,
                        signature=base64.b64encode(signature).decode(), admitted_at=datetime.now(UTC).isoformat())


def require_signed(keys: Keys, row: SimulatorRow) -> None:
    """Check a row's signature.

    Raises:
        TamperedError: it is not over this name, version and digest.
    """
    try:
        key = load_pem_public_key(keys.public_key(SIGNING))
        assert isinstance(key, Ed25519PublicKey)
        key.verify(base64.b64decode(row.signature), _statement(row.name, row.version, row.digest))
    except (InvalidSignature, ValueError) as error:
        raise TamperedError("simulator.signature", f"The admission of {row.name}@{row.version} is not signed.",
                            field="simulator", value=row.digest, fix="Build and admit it again.") from error


def view(row: SimulatorRow) -> SimulatorView:
    """Return a row as it is shown."""
    stored = json.loads(row.manifest)
    scan = Scan.from_json(stored["scan"]) if stored.get("scan") else None
    return SimulatorView(row.name, row.version, row.digest, Manifest.from_json(stored), row.state, row.admitted_at,
                         scan)


def _statement(name: str, version: str, digest: str) -> bytes:
    return json.dumps({"admitted": digest, "name": name, "version": version}, sort_keys=True).encode()
