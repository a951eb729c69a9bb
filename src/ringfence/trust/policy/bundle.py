"""A policy bundle: the Rego modules and data documents of a folder, with one digest over all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.errors import UnavailableError


@dataclass(frozen=True)
class Bundle:
    """`modules`: path -> Rego text. `data`: the document that the rules see as `data`."""

    modules: Mapping[str, str]
    data: Mapping[str, Any]
    digest: str


def load(folder: Path) -> Bundle:
    """Return the folder's bundle as OPA reads one: every `.rego`, tests left out; `a/data.json` is seen as `data.a`.

    Raises:
        UnavailableError: there are no rules, or a file can't be read.
    """
    try:
        files = {path.relative_to(folder).as_posix(): path.read_text("utf-8")
                 for path in sorted(folder.rglob("*")) if path.suffix == ".rego" or path.name == "data.json"}
        documents = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    except (OSError, ValueError) as error:
        raise UnavailableError("policy.unreadable", f"The rules in {folder} can't be read: {error}.",
                               fix="Install the platform again, or correct the setting `policies`.") from error
    modules = {name: text for name, text in files.items() if name.endswith(".rego") and not name.endswith("_test.rego")}
    if not modules:
        raise UnavailableError("policy.missing", f"There are no rules in {folder}.", value=str(folder),
                               fix="Install the platform again, or correct the setting `policies`.")
    data: dict[str, Any] = {}
    for name, document in documents.items():
        _mount(data, Path(name).parent.parts, document)
    return Bundle(modules, data, digest({**modules, **{name: files[name] for name in documents}}))


def digest(files: Mapping[str, str]) -> str:
    """Return `sha256:` and the digest of names and contents, whatever their order."""
    total = hashlib.sha256()
    for name, text in sorted(files.items()):
        for part in (name.encode(), text.encode()):
            total.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{total.hexdigest()}"


def _mount(data: dict[str, Any], parts: tuple[str, ...], document: Any) -> None:
    for part in parts[:-1]:
        data = data.setdefault(part, {})
    if parts:
        data[parts[-1]] = document
    else:
        data.update(document)
