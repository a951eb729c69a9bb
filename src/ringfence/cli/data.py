"""`ringfence data`: from a raw file to a released version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, table
from ringfence.cli.progress import bar, follow
from ringfence.cli.session import connect, read_text

data = typer.Typer(no_args_is_help=True, help="Datasets: declare, ingest, classify, release.")

Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(data, name="data")


@data.command(epilog="Example: ringfence data declare dataset.yaml")
def declare(file: Annotated[Path, typer.Argument(help="The declaration (YAML).")], as_json: AsJson = False) -> None:
    """Declare a dataset: its purpose, and what becomes of each column."""
    with connect() as client:
        view = client.declare_dataset(read_text(file))
    emit(view, as_json, lambda _: say(f"Declared {view['name']}. {_next(view)}"))


def _next(view: Json) -> str:
    """Return what comes next: a declaration that was corrected finds its file landed already."""
    if view.get("state") == "declared":
        return f"Land its file with [bold]ringfence data ingest {view['name']} FILE[/]."
    verb = "classify" if view.get("state") == "landed" else "release"
    return f"Its file has landed already: go on with [bold]ringfence data {verb} {view['name']}[/]."


@data.command(epilog="Example: ringfence data ingest icu-stays stays.csv")
def ingest(name: Dataset, file: Annotated[Path, typer.Argument(help="The raw CSV file.")],
           as_json: AsJson = False) -> None:
    """Upload a raw file into the encrypted landing zone and have it parsed in a fence."""
    with connect() as client:
        with bar("uploading", hidden=as_json) as advance:
            job = client.ingest(name, file, lambda share: advance(share, ""))
        with bar("parsing in a fence", hidden=as_json) as advance:
            view = client.wait_job(job["id"], follow(advance))
    result = view["result"] or {}
    emit(view, as_json, lambda _: say(f"{result.get('rows', 0):,} rows are in quarantine. Go on with "
                                      f"[bold]ringfence data classify {name}[/]."))


@data.command(epilog="Example: ringfence data classify icu-stays   (or, before any upload: data classify stays.csv)")
def classify(target: Annotated[str, typer.Argument(help="Name of a dataset, or a local CSV file.")],
             as_json: AsJson = False) -> None:
    """Find the columns that identify people: in a landed dataset, or in a local file that stays where it is."""
    if target.endswith(".csv") or Path(target).is_file():
        view = _classify_locally(Path(target))
    else:
        with connect() as client, bar("classifying in a fence", hidden=as_json) as advance:
            view = client.wait_job(client.classify(target)["id"], follow(advance))["result"] or {}
    findings = view.get("columns") or view.get("findings") or []
    emit(view, as_json, lambda _: _show_findings(findings))


def _classify_locally(file: Path) -> Json:
    import json
    import os
    import subprocess

    import ringfence_workload
    from ringfence.client.upload import unreadable
    from ringfence.errors import UnavailableError, WorkloadError
    from ringfence.paths import default_environments

    if not file.is_file():
        raise unreadable(file, FileNotFoundError(2, "No such file"))
    python = default_environments() / "base" / "bin" / "python"
    if not python.exists():
        raise UnavailableError("environment.missing", f"The workload environment {python.parents[1]} is not installed.",
                               fix="Run `make install`, or set RINGFENCE_ENVIRONMENTS.")
    environment = {**os.environ, "PYTHONPATH": str(Path(next(iter(ringfence_workload.__path__))).parent)}
    finished = subprocess.run([python, "-m", "ringfence_workload.data.classify", str(file)], capture_output=True,
                              text=True, check=False, env=environment)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise WorkloadError("data.unclassifiable", f"{file} can't be classified: {last}", field="file",
                            value=str(file), fix="Check that it is a CSV file with a header line.")
    answer: Json = json.loads(finished.stdout)
    return answer


def _show_findings(findings: list[Json]) -> None:
    table("Columns", {"column": "name", "looks like": "type", "sensitivity": "sensitivity",
                      "confidence": "confidence", "because": "evidence"}, findings, empty="No columns.")


@data.command(epilog="Example: ringfence data release icu-stays")
def release(name: Dataset, as_json: AsJson = False) -> None:
    """De-identify in a fence, measure anonymity, and let policy decide on a new version."""
    with connect() as client:
        with bar("de-identifying in a fence", hidden=as_json) as advance:
            view = client.wait_job(client.release(name)["id"], follow(advance))
        dataset = client.dataset(name) if not as_json else {}
    emit(view, as_json, lambda _: _show_versions(dataset["versions"][-1:]))


@data.command(epilog="Example: ringfence data show icu-stays")
def show(name: Dataset, raw: Annotated[bool, typer.Option("--raw", help="Ask for the raw file: nobody gets it.")]
         = False, as_json: AsJson = False) -> None:
    """Show a dataset: declaration, findings, versions."""
    with connect() as client:
        view = client.read_raw(name) if raw else client.dataset(name)
    emit(view, as_json, _show)


def _show(view: Json) -> None:
    facts(view["name"], {"purpose": view.get("purpose"), "residency": view.get("residency"),
                         "state": view.get("state")})
    if view.get("findings"):
        _show_findings(view["findings"])
    _show_versions(view.get("versions", []))


def _show_versions(versions: list[Json]) -> None:
    table("Versions", {"version": "ref", "rows": "rows", "people": "subjects", "k": "k",
                       "suppressed": lambda row: f"{row.get('suppressed_share') or 0:.2%}",
                       "columns": lambda row: [column["name"] if isinstance(column, dict) else column
                                               for column in row.get("columns", [])],
                       "removed": "columns_removed"}, versions, empty="Nothing has been released yet.")


@data.command("list", epilog="Example: ringfence data list --json")
def list_(as_json: AsJson = False) -> None:
    """List the datasets."""
    with connect() as client:
        views = client.datasets()
    emit(views, as_json, lambda _: table(
        "Datasets", {"name": "name", "purpose": "purpose", "state": "state",
                     "versions": lambda row: len(row.get("versions") or [])},
        views, empty="None yet: declare one with `ringfence data declare FILE`."))
