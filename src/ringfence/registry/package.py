"""The model package: one deterministic tar of six files, and its offline verifier. Pure: stdlib and cryptography."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringfence.errors import InvalidError, RingfenceError, TamperedError
from ringfence.registry import agent_format, statement
from ringfence.registry.domain import PackageReport

PACKAGE_FORMAT = "ringfence-model/1"
CONTENT = ("agent.json", "agent.safetensors", "evaluation.json", "provenance.json")
SIGNED = (*CONTENT, "manifest.json")
MEMBERS = (*SIGNED, "signature.json")
MAX_PACKAGE = 1 << 28


def build(name: str, version: int, content: Mapping[str, bytes], signer: Callable[[bytes], bytes],
          public_key: bytes) -> bytes:
    """Return the package of a model version: the same bytes for the same content and key.

    The digests that are signed are computed here, from the bytes that are packed.

    Raises:
        InvalidError: the agent does not keep to the format, or the content is not the four files.
    """
    if set(content) != set(CONTENT):
        raise InvalidError("model.content", "A model is made of exactly " + ", ".join(CONTENT) + ".",
                           field="content", fix="Hand in each of them.")
    agent_format.check(content["agent.json"], content["agent.safetensors"])
    files = {member: bytes(content[member]) for member in CONTENT}
    files["manifest.json"] = statement.canonical(_manifest(name, version, files))
    signed = statement.statement(_digests(files), json.loads(files["provenance.json"]))
    files["signature.json"] = statement.sign(signed, signer, public_key)
    return _packed(files)


def verify_package(package: Path | bytes, public_key_pem: bytes) -> PackageReport:
    """Check a package offline: canonical archive, signature, digest of each file, agent format.

    Never raises for a bad package: the report's `problem` says what does not hold.

    Raises:
        OSError: the file can't be read.
    """
    data = package if isinstance(package, bytes) else _read(package)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    try:
        files = unpack(data)
        signed = statement.opened(files["signature.json"], public_key_pem)
        _require_signed(files, signed)
        agent_format.check(files["agent.json"], files["agent.safetensors"])
    except RingfenceError as error:
        return PackageReport(False, digest, {}, error.message)
    return PackageReport(True, digest, signed, "")


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of a package by name; nothing is written anywhere.

    Raises:
        TamperedError: `model.package`: it is not the one tar that `build` makes of these files.
    """
    if len(data) > MAX_PACKAGE:
        raise _tampered(f"it is larger than {MAX_PACKAGE} bytes")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            names = []
            files = {}
            for member in archive:
                names.append(member.name)
                if len(names) > len(MEMBERS) or member.type != tarfile.REGTYPE or member.size > len(data):
                    raise _tampered("it holds something that is not one of its six files")
                reader = archive.extractfile(member)
                files[member.name] = reader.read() if reader else b""
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise _tampered("it is not a tar archive, or is cut short") from error
    if tuple(names) != MEMBERS or _packed(files) != data:
        raise _tampered("it is not the archive that the registry packed")
    return files


def _require_signed(files: Mapping[str, bytes], signed: Mapping[str, Any]) -> None:
    try:
        manifest, provenance = json.loads(files["manifest.json"]), json.loads(files["provenance.json"])
        wanted = statement.statement(_digests(files), provenance)
        stated = _manifest(str(manifest["name"]), int(manifest["version"]), files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _tampered("its manifest or provenance can't be read") from error
    for subject in wanted["subject"]:
        if subject not in list(signed.get("subject") or []):
            raise _tampered(f"{subject['name']} is not the file that was signed")
    if signed != wanted or manifest != stated:
        raise _tampered("what was signed does not describe these files")


def _manifest(name: str, version: int, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {"format": PACKAGE_FORMAT, "name": name, "version": version,
            "files": {member: "sha256:" + hashlib.sha256(files[member]).hexdigest() for member in CONTENT}}


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(files[name]).hexdigest() for name in SIGNED}


def _packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in MEMBERS:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PACKAGE + 1)


def _tampered(problem: str) -> TamperedError:
    return TamperedError("model.package", f"The package can't be relied on: {problem}.", field="package",
                         fix="Download it again from the registry and verify it once more.")
