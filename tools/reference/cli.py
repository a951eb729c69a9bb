"""The command line: every command with its arguments, options and an example."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer

from ringfence.cli.main import app
from tools.reference.markdown import code, codes, sentence, table
from tools.reference.markdown import page as whole

_WORDS = {int: "whole number", float: "number", str: "text", Path: "path", bool: ""}
# Every command has these, so they stand once at the top.
_SHARED = {"--json", "--help"}
# These two are the library's own, in its own words.
_FOREIGN = {"--install-completion", "--show-completion"}


def render(root: Any) -> str:
    """Return the reference of one click application."""
    intro = (f"{sentence(root.help)}\n\nExit status 0: done; 1: refused or failed; 2: used wrongly. Every command "
             "takes `--json` (print JSON for machines), `--debug` (show the whole trace of an error) and `-h`. What it "
             "talks to is the current context (`ringfence context list`), or what the [environment](settings.md) says.")
    options = table(["Option", "What it is"], [[_names(option), option.help + _variable(option)]
                                               for option in root.params if not _FOREIGN & set(option.opts)])
    return whole("Command line", intro, "Before any command:", options, *_commands(root, ("ringfence",)))


def page() -> str:
    """Return the reference of `ringfence`."""
    return render(typer.main.get_command(app))


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield f"## {' '.join((*path, name))}\n\n{command.help}"
            yield from _commands(command, (*path, name))
        else:
            yield _command(command, (*path, name))


def _command(command: Any, path: tuple[str, ...]) -> str:
    hints = get_type_hints(inspect.unwrap(command.callback))
    shown = [option for option in command.params if not _SHARED & set(option.opts)]
    arguments = [option for option in shown if not _is_option(option)]
    usage = " ".join([*path, *map(_place, arguments), *(["[OPTIONS]"] if shown != arguments else [])])
    rows = [[_names(option), _kind(option, hints[option.name]), _default(option), option.help] for option in shown]
    example = command.epilog.removeprefix("Example: ")
    return "\n\n".join(part for part in [
        f"{'#' * (len(path) if len(path) > 2 else 2)} {' '.join(path)}", sentence(command.help),
        f"```console\n$ {usage}\n```", table(["Argument or option", "Takes", "Default", "What it is"], rows),
        f"Example: {_quoted(example)}"] if part)


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _place(argument: Any) -> str:
    name = argument.name.upper()
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    return codes([*parameter.opts, *parameter.secondary_opts]) if _is_option(parameter) else code(_place(parameter))


def _kind(parameter: Any, hint: Any) -> str:
    kind, several = hint, ""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) in (list, tuple):
        kind, several = get_args(kind)[0], ", several times"
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    limits = f" from {low}" * (low is not None) + f" to {high}" * (high is not None)
    return f"{_WORDS[kind]}{limits}{several}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is True and parameter.secondary_opts:
        return code(parameter.opts[0])
    return "" if parameter.default in (None, "", False, [], ()) else code(parameter.default)


def _variable(option: Any) -> str:
    return f" Also as {code(option.envvar)}." if option.envvar else ""


def _quoted(example: str) -> str:
    command, space, remark = example.partition("   ")
    return f"{code(command)}{space and ' '}{remark.strip()}"
