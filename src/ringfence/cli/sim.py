"""`ringfence sim`: simulators that agents learn in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, short, table
from ringfence.cli.progress import bar, follow
from ringfence.cli.session import connect

sim = typer.Typer(no_args_is_help=True, help="Simulators: build, list, show.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(sim, name="sim")


@sim.command(epilog="Example: ringfence sim build examples/icu_sepsis/simulator")
def build(folder: Annotated[Path, typer.Argument(help="Folder of the simulator project.")],
          as_json: AsJson = False) -> None:
    """Pack a simulator project, have it inspected in a fence, and admit it to the catalogue."""
    with connect() as client:
        with bar("uploading", hidden=as_json) as advance:
            job = client.build_simulator(folder, lambda share: advance(share, ""))
        with bar("inspecting in a fence", hidden=as_json) as advance:
            view = client.wait_job(job["id"], follow(advance))
    result = view["result"] or {}
    emit(view, as_json, lambda _: say(f"Admitted {result.get('name', folder.name)} ({short(result.get('digest'))})."))


@sim.command("list", epilog="Example: ringfence sim list")
def list_(as_json: AsJson = False) -> None:
    """List the admitted simulators."""
    with connect() as client:
        views = client.simulators()
    emit(views, as_json, lambda _: table(
        "Simulators", {"name": "name", "version": "version", "state": "state",
                       "digest": lambda row: short(row.get("digest"))},
        views, empty="None yet: hand one in with `ringfence sim build FOLDER`."))


@sim.command(epilog="Example: ringfence sim show icu-sepsis")
def show(reference: Annotated[str, typer.Argument(help="Name or digest.")], as_json: AsJson = False) -> None:
    """Show one simulator."""
    with connect() as client:
        view = client.simulator(reference)
    emit(view, as_json, _show)


def _show(view: Json) -> None:
    manifest = view.get("manifest") or {}
    facts(view["name"], {"version": view.get("version"), "state": view.get("state"), "digest": view.get("digest"),
                         **{name.replace("_", " "): value for name, value in manifest.items()
                            if name not in ("name", "version")}})
