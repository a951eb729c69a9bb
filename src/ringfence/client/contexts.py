"""Where the command line finds platforms: `client/contexts.json` in the home folder, mode 0600, like kubectl's."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ringfence.errors import InvalidError, MissingError

LOCAL = "local"


@dataclass(frozen=True)
class Context:
    """One platform and the session with it."""

    name: str
    url: str
    ca: str = ""
    token: str = ""
    account: str = ""


@dataclass(frozen=True)
class Contexts:
    """Every context of one home, and the current one."""

    folder: Path
    current: str
    entries: dict[str, Context]

    @classmethod
    def load(cls, home: Path) -> Contexts:
        """Read them; none when there is no file yet.

        Raises:
            InvalidError: the file is damaged.
        """
        folder = home / "client"
        try:
            stored: dict[str, Any] = json.loads((folder / "contexts.json").read_text())
            entries = {name: Context(name, **fields) for name, fields in stored["contexts"].items()}
            return cls(folder, str(stored["current"]), entries)
        except (FileNotFoundError, NotADirectoryError):
            return cls(folder, LOCAL, {})
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InvalidError("client.contexts", f"{folder / 'contexts.json'} can't be read.",
                               fix="Remove the file and log in again.", field="contexts") from error

    def get(self, name: str = "") -> Context:
        """Return a context, the current one where `name` is empty.

        Raises:
            MissingError: there is no such context.
        """
        try:
            return self.entries[name or self.current]
        except KeyError:
            raise MissingError("client.no_context", f"There is no context {name or self.current}.", field="context",
                               value=name or self.current,
                               fix="Start a platform with `ringfence up`, or log in with --url and --ca.") from None

    def with_context(self, context: Context) -> Contexts:
        """Return the contexts with this one added or replaced, and current."""
        return replace(self, current=context.name, entries={**self.entries, context.name: context})

    def save(self) -> None:
        """Write them durably, for their owner alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"current": self.current, "contexts": {
            name: {key: value for key, value in asdict(entry).items() if key != "name"}
            for name, entry in self.entries.items()}}
        draft = self.folder / f".contexts.{os.getpid()}.tmp"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / "contexts.json")
