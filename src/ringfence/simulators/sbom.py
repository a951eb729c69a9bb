"""A bundle's bill of materials as CycloneDX 1.6 JSON: the same bundle in the same environment gives the same bytes."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from ringfence import __version__
from ringfence.simulators.domain import Manifest
from ringfence.simulators.scan import Contents

_NAMESPACE = uuid.UUID("5b1f2d53-9f0e-5d5e-9b1a-0f2a6a0d6a51")
_SIMULATOR = "simulator"


def compose(manifest: Manifest, digest: str, contents: Contents) -> bytes:
    """Return the bill: the project's files by their hashes, and the packages of the environment that it runs in.

    It bears no time, as it is reproducible; the serial number follows from the bundle's digest and the packages.
    """
    packages = [_package(*package) for package in contents.packages]
    files = [_file(name, digest_of_file) for name, _, digest_of_file in contents.files]
    components = [*files, *packages]
    serial = uuid.uuid5(_NAMESPACE, json.dumps([digest, components], sort_keys=True))
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"tools": {"components": [{"type": "application", "name": "ringfence", "version": __version__}]},
                     "component": _simulator(manifest, digest)},
        "components": components,
        "dependencies": [{"ref": _SIMULATOR, "dependsOn": sorted(part["bom-ref"] for part in components)}]}
    return json.dumps(bill, indent=1, sort_keys=True).encode()


def _simulator(manifest: Manifest, digest: str) -> dict[str, Any]:
    wanted = [{"name": "ringfence:requirement", "value": text} for text in manifest.requirements]
    return {"type": "application", "bom-ref": _SIMULATOR, "name": manifest.name, "version": manifest.version,
            "hashes": _hashes(digest.partition(":")[2]), "licenses": _licences(*manifest.licences),
            "properties": wanted}


def _file(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(digest)}


def _package(name: str, version: str, licence: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": _licences(licence)}


def _hashes(content: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": content}]


def _licences(*names: str) -> list[dict[str, Any]]:
    return [{"license": {"name": name}} for name in names if name]
