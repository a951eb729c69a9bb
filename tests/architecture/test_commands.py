"""Every command helps itself, speaks JSON, and starts fast."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from ringfence.cli.main import app

WANTED = {
    "": "up down status doctor login whoami quickstart deploy",
    "data": "declare ingest classify release show list", "sim": "init check build list show verify rm",
    "train": "submit watch show list", "model": "list show verify promote download",
    "endpoint": "list show ask", "audit": "search tail verify export", "account": "create list disable",
    "key": "create revoke", "policy": "add list", "backup": "create verify restore",
}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield ".".join((*path, name)), command


EVERY = dict(commands(typer.main.get_command(app)))


def test_every_command_of_the_first_form_is_there() -> None:
    wanted = {f"{noun}.{verb}".strip(".") for noun, verbs in WANTED.items() for verb in verbs.split()}
    assert not wanted - set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_it_has_help_an_example_and_json(name: str) -> None:
    command = EVERY[name]
    assert command.help
    assert command.epilog.startswith(f"Example: ringfence {name.replace('.', ' ')}")
    assert any("--json" in parameter.opts for parameter in command.params)
    assert all(getattr(parameter, "help", "") for parameter in command.params)


def test_help_loads_no_server_no_http_client_and_no_native_sandbox() -> None:
    code = ("import sys, ringfence.cli.main; "
            "print(*(name for name in ('httpx', 'fastapi', 'sqlalchemy', 'pydantic', 'cryptography', 'numpy', 'rich') "
            "if name in sys.modules))")
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []
