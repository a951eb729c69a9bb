"""`ringfence`: the command line. Exit status 0: done; 1: refused or failed; 2: used wrongly."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ringfence.cli import account, audit, backup, data, endpoint, model, platform, sim, train
from ringfence.cli.output import error_line
from ringfence.cli.session import choose_context
from ringfence.errors import DISK_FULL, INTERRUPTED, RingfenceError

_DEBUG = "--debug"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]})
platform.register(app)
data.register(app)
sim.register(app)
train.register(app)
model.register(app)
endpoint.register(app)
audit.register(app)
backup.register(app)
account.register(app)


@app.callback()
def options(
    context: Annotated[str, typer.Option(envvar="RINGFENCE_CONTEXT", help="Platform to talk to.")] = "",
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the whole trace of an error.")] = False,
) -> None:
    """Train reinforcement-learning agents on data that may not leave the organisation.

    Start with `ringfence quickstart` (the whole story in five minutes) or `ringfence up`.
    """
    del debug  # taken out of the arguments by `main`, wherever it stood
    choose_context(context)


def main() -> None:
    """Run the command line and leave with its exit status."""
    arguments = sys.argv[1:]
    debug = _DEBUG in arguments
    try:
        app(args=[argument for argument in arguments if argument != _DEBUG], prog_name="ringfence")
    except RingfenceError as error:
        if debug:
            raise
        error_line(error.line())
        sys.exit(1)
    except SystemExit as leaving:
        if leaving.code == 130:
            error_line(INTERRUPTED)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            error_line("The disk is full. Free some space and run the same command again to go on.")
            sys.exit(1)
        error_line(f"An unexpected {type(error).__name__}: {error}. Run it again with --debug and report the trace.")
        sys.exit(1)


if __name__ == "__main__":
    main()
