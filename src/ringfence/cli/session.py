"""The platform that a command talks to: from the context, or from RINGFENCE_URL, RINGFENCE_CA and RINGFENCE_TOKEN."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.errors import InvalidError, UnauthenticatedError
from ringfence.paths import default_home

if TYPE_CHECKING:
    from ringfence.client import Client
    from ringfence.client.contexts import Context

_CHOSEN = {"context": ""}


def choose_context(name: str) -> None:
    """Use the context `name` in this process, instead of the current one."""
    _CHOSEN["context"] = name


def current_context() -> Context:
    """Return the platform to talk to.

    Raises:
        MissingError: there is no such context.
    """
    from ringfence.client.contexts import Context, Contexts

    if url := os.environ.get("RINGFENCE_URL"):
        return Context("environment", url, os.environ.get("RINGFENCE_CA", ""), os.environ.get("RINGFENCE_TOKEN", ""))
    context = Contexts.load(default_home()).get(_CHOSEN["context"])
    token = os.environ.get("RINGFENCE_TOKEN")
    return Context(context.name, context.url, context.ca, token, context.account) if token else context


def connect(*, logged_in: bool = True) -> Client:
    """Return a client for the platform that this command talks to.

    Raises:
        UnauthenticatedError: nobody is logged in.
    """
    from ringfence.client import Client

    context = current_context()
    if logged_in and not context.token:
        raise UnauthenticatedError("client.not_logged_in", f"Nobody is logged in to {context.url}.",
                                   fix="Run `ringfence login`.")
    return Client(context.url, Path(context.ca) if context.ca else None, context.token or None)


def remember(context: Context) -> None:
    """Keep a context and make it the current one."""
    from ringfence.client.contexts import Contexts

    Contexts.load(default_home()).with_context(context).save()


def read_text(path: Path) -> str:
    """Return a local text file.

    Raises:
        InvalidError: it can't be read.
    """
    from ringfence.client.upload import unreadable

    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise unreadable(path, OSError(0, "it is not UTF-8 text")) from error
    except OSError as error:
        raise unreadable(path, error) from error


def read_bytes(path: Path) -> bytes:
    """Return a local file's bytes. Raises as `read_text`."""
    from ringfence.client.upload import unreadable

    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a local file, whole or not at all. Raises as `read_text`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise unwritable(path, str(error.strerror)) from error


def require_writable(path: Path | None) -> None:
    """Refuse a path that a secret, which is shown only once, could not be written to. Raises as `read_text`."""
    if path and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise unwritable(path, "it is a folder, or its folder is not yours to write to")


def write_secret(path: Path, secret: str) -> None:
    """Write a secret for its owner alone. Raises as `read_text`."""
    write_file(path, f"{secret}\n".encode(), mode=0o600)


def unwritable(path: Path, why: str) -> InvalidError:
    """Return the error that says why a local file can't be written."""
    return InvalidError("file.unwritable", f"{path} can't be written: {why}.", field="file", value=str(path),
                        fix="Choose another path.")


def parsed_json(text: str, what: str) -> Any:
    """Return the JSON value in an argument.

    Raises:
        InvalidError: it is not JSON.
    """
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidError("cli.json", f"{what} is not JSON: {text[:60]!r}.", field=what,
                           fix="Write a number such as 100, or a list such as '[0.1, 0.2]'.") from error
