"""`ringfence train`: runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, score, short, table
from ringfence.cli.session import connect, read_text
from ringfence.errors import WorkloadError

if TYPE_CHECKING:
    from ringfence.client import Client

train = typer.Typer(no_args_is_help=True, help="Training runs: submit, watch, show, list.")

Run = Annotated[str, typer.Argument(help="Id of the run.")]
_POLL_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(train, name="train")


@train.command(epilog="Example: ringfence train submit runs/offline.yaml --watch")
def submit(file: Annotated[Path, typer.Argument(help="The run's specification (YAML).")],
           watch: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
           as_json: AsJson = False) -> None:
    """Submit a run."""
    with connect() as client:
        view = client.submit_run(read_text(file))
        if watch:
            view = _watched(client, view["id"], as_json)
    if as_json and watch:
        return
    emit(view, as_json, _show if watch else _show_submitted)


def _show_submitted(view: Json) -> None:
    say(f"Submitted {view['id']}. Watch it with [bold]ringfence train watch {view['id']}[/].")


@train.command("watch", epilog="Example: ringfence train watch run-0g3kq7v1x9mz")
def watch_(run: Run, as_json: AsJson = False) -> None:
    """Watch a run until it ends: live curve, steps per second. With --json: one metric a line."""
    with connect() as client:
        view = _watched(client, run, as_json)
    if not as_json:
        _show(view)


def _watched(client: Client, run: str, as_json: bool) -> Json:
    """Follow a run to its end; raise what it failed with."""
    view = _metric_lines(client, run) if as_json or not sys.stdout.isatty() else _live(client, run)
    if view["state"] == "failed":
        problem = view.get("error") or {}
        raise WorkloadError("run.failed", f"Run {run} failed: {problem.get('title') or 'no reason was given.'}",
                            fix=str(problem.get("fix") or ""))
    return view


def _metric_lines(client: Client, run: str) -> Json:
    import json

    after = -1
    while True:
        view = client.run(run)
        for metric in client.run_metrics(run, after):
            after = int(metric["number"])
            print(json.dumps(metric), flush=True)
        if view["state"] in ("done", "failed"):
            return view
        time.sleep(_POLL_SECONDS)


def _live(client: Client, run: str) -> Json:
    from rich.console import Console
    from rich.live import Live

    metrics: list[Json] = []
    console = Console(highlight=False)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            view = client.run(run)
            metrics += client.run_metrics(run, int(metrics[-1]["number"]) if metrics else -1)
            live.update(picture(view, metrics, console.width))
            if view["state"] in ("done", "failed"):
                return view
            time.sleep(_POLL_SECONDS)


def picture(view: Json, metrics: list[Json], width: int) -> Any:
    """Return what the live display shows: state, speed, the curve of the mean return."""
    from rich.panel import Panel

    from ringfence.quickstart.plots import learning_curve_text

    returns = [float(metric["values"]["return_mean"]) for metric in metrics
               if metric["values"].get("return_mean") is not None]
    latest = metrics[-1]["values"] if metrics else {}
    speed = latest.get("steps_per_second") or view.get("steps_per_second") or 0.0
    text = view.get("text") or view["state"]
    lines = [text if text == view["state"] else f"{view['state']}: {text}", f"{speed:,.0f} steps/s"]
    if metrics:
        lines.append(f"step {metrics[-1]['step']:,}  " + "  ".join(
            f"{name} {value:.4g}" for name, value in latest.items() if name != "steps_per_second"))
    if returns:
        lines += ["", "mean return", learning_curve_text(returns, {}, width=max(20, min(96, width - 16)), height=10)]
    return Panel("\n".join(lines), title=f"{view.get('name', '')} {view['id']}", title_align="left", expand=False)


@train.command(epilog="Example: ringfence train show run-0g3kq7v1x9mz")
def show(run: Run, as_json: AsJson = False) -> None:
    """Show a run: inputs by digest, fence, evaluation with intervals."""
    with connect() as client:
        view = client.run(run)
    emit(view, as_json, _show)


def _show(view: Json) -> None:
    fence = view.get("fence") or {}
    problem = view.get("error") or {}
    facts(f"{view.get('name', '')} {view['id']}", {
        "state": view["state"], "dataset": view.get("dataset_version"), "columns": view.get("columns"),
        "simulator": short(view.get("simulator_digest")), "spec": short(view.get("spec_digest")),
        "seed": view.get("seed"), "steps": view.get("steps"), "steps per second": view.get("steps_per_second"),
        "model": view.get("model"), "egress blocked": fence.get("egress_blocked"), "error": problem.get("title")})
    result = view.get("result") or {}
    rows = [{"who": name, "score": score(value), "episodes": value.get("episodes")}
            for name, value in (result.get("evaluation") or {}).items()]
    if result.get("behaviour_value"):
        rows.append({"who": "behaviour, from the data", "score": score(result["behaviour_value"]),
                     "episodes": result["behaviour_value"].get("episodes")})
    if rows:
        table("Mean return (95% interval)", {"who decides": "who", "mean return": "score", "episodes": "episodes"},
              rows, empty="")


@train.command("list", epilog="Example: ringfence train list")
def list_(as_json: AsJson = False) -> None:
    """List the runs."""
    with connect() as client:
        views = client.runs()
    emit(views, as_json, lambda _: table(
        "Runs", {"id": "id", "name": "name", "state": "state", "steps": "steps", "steps/s": "steps_per_second",
                 "model": "model"},
        views, empty="None yet: submit one with `ringfence train submit FILE`."))
