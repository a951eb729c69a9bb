"""`ringfence sim`: simulators that agents learn in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Cell, Json, emit, facts, say, short, table
from ringfence.cli.progress import bar, follow
from ringfence.cli.session import connect
from ringfence.errors import TamperedError

sim = typer.Typer(no_args_is_help=True, help="Simulators: init, check, build, list, show, verify, rm.")

Reference = Annotated[str, typer.Argument(help="Name, name@version, or digest.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the simulator project.")]
_FINDINGS: dict[str, Cell | str] = {"severity": "severity", "rule": "rule", "file": "file",
                                    "line": lambda row: row["line"] or "", "evidence": "evidence"}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(sim, name="sim")


@sim.command(epilog="Example: ringfence sim init ward-beds --vector")
def init(name: Annotated[Path, typer.Argument(help="Folder to make; its name becomes the simulator's.")],
         vector: Annotated[bool, typer.Option("--vector", help="One call steps all environments: faster.")] = False,
         as_json: AsJson = False) -> None:
    """Write a simulator project that works, to begin from."""
    from ringfence.cli.project import write_project

    files = write_project(name, vector=vector)
    emit({"folder": str(name), "files": files}, as_json,
         lambda _: say(f"Wrote {name}: {', '.join(files)}. Try it with [bold]ringfence sim check {name}[/]."))


@sim.command(epilog="Example: ringfence sim check ward-beds")
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Try a simulator project in a fence on this machine, and look through its files; no platform is needed."""
    report = _checked(folder)
    emit(report, as_json, _show_check)
    raise typer.Exit(0 if report["passed"] else 1)


def _checked(folder: Path) -> Json:
    import json
    import subprocess
    import sys

    from ringfence.client.upload import pack
    from ringfence.errors import UnavailableError, from_problem

    # In a process of its own, as it loads the sandbox's native parts.
    finished = subprocess.run([sys.executable, "-m", "ringfence.simulators.check"], input=pack(folder),
                              capture_output=True, check=False)
    try:
        report: Json = json.loads(finished.stdout)
    except ValueError:
        why = finished.stderr.decode(errors="replace").strip()[-300:]
        raise UnavailableError("simulator.check_failed", f"The check could not run: {why}",
                               fix="Run `ringfence doctor`.") from None
    if "error" in report:
        raise from_problem(report["error"])
    return report


def _show_check(report: Json) -> None:
    from rich.console import Console
    from rich.markup import escape

    marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}
    console = Console(highlight=False)
    for one in report["checks"]:
        place = f" ({one['field']})" if one["field"] else ""
        console.print(f"{marks[one['state']]} [bold]{escape(one['name'])}[/]{escape(place)}  {escape(one['detail'])}")
        if one["fix"]:
            console.print(f"    fix: {escape(one['fix'])}")
    table("Findings", _FINDINGS, report["findings"], empty="Nothing was found in its files.")
    console.print(f"Known vulnerabilities: {escape(report['advisories'])}.")
    console.print(f"\n{escape(report['summary'])}")


@sim.command(epilog="Example: ringfence sim build examples/icu_sepsis/simulator")
def build(folder: Folder, as_json: AsJson = False) -> None:
    """Pack a simulator project, have it scanned and tried in fences, and admit it to the catalogue."""
    with connect() as client:
        with bar("uploading", hidden=as_json) as advance:
            job = client.build_simulator(folder, lambda share: advance(share, ""))
        with bar("inspecting in a fence", hidden=as_json) as advance:
            view = client.wait_job(job["id"], follow(advance))
    result = view["result"] or {}
    emit(view, as_json, lambda _: say(f"Admitted {result.get('name', folder.name)} ({short(result.get('digest'))}). "
                                      f"Findings: {_counted(result)}."))


@sim.command("list", epilog="Example: ringfence sim list")
def list_(as_json: AsJson = False) -> None:
    """List the admitted simulators."""
    with connect() as client:
        views = client.simulators()
    emit(views, as_json, lambda _: table(
        "Simulators", {"name": "name", "version": "version", "state": "state", "findings": _counted,
                       "digest": lambda row: short(row.get("digest"))},
        views, empty="None yet: hand one in with `ringfence sim build FOLDER`."))


def _counted(view: Json) -> str:
    """Return the findings in one cell; what was not looked for is not called clean."""
    scan = view.get("scan")
    if not scan:
        return "not scanned"
    counts = [f"{number} {severity}" for severity, number in reversed(scan["counts"].items()) if number]
    return ", ".join(counts) or "none"


@sim.command(epilog="Example: ringfence sim show icu-sepsis --json")
def show(reference: Reference, as_json: AsJson = False) -> None:
    """Show one simulator; as JSON with its bill of materials (CycloneDX)."""
    with connect() as client:
        view = client.simulator(reference)
        if as_json and (view.get("scan") or {}).get("sbom"):
            view = {**view, "sbom": client.simulator_sbom(view["digest"])}
    emit(view, as_json, _show)


def _show(view: Json) -> None:
    manifest, scan = view.get("manifest") or {}, view.get("scan") or {}
    facts(view["name"], {"version": view.get("version"), "state": view.get("state"), "digest": view.get("digest"),
                         **{name.replace("_", " "): value for name, value in manifest.items()
                            if name not in ("name", "version")},
                         "findings": _counted(view), "known vulnerabilities": scan.get("advisories", "not checked"),
                         "bill of materials": scan.get("sbom")})
    if scan.get("findings"):
        table("Findings", _FINDINGS, scan["findings"], empty="")


@sim.command(epilog="Example: ringfence sim verify icu-sepsis@2.0.1")
def verify(reference: Reference, as_json: AsJson = False) -> None:
    """Verify what the platform stores: the bundle's digest, the signature of its admission, its bill of materials."""
    with connect() as client:
        report = client.verify_simulator(reference)
    emit(report, as_json, lambda _: say(f"{'It holds' if report['valid'] else 'REFUSED'}: "
                                        f"{report['problem'] or report['digest']}"))
    if not report["valid"]:
        raise TamperedError("simulator.tampered", f"{reference} is not what was admitted: {report['problem']}",
                            fix="Remove it, and build it again from its project.")


@sim.command("rm", epilog="Example: ringfence sim rm ward-beds@0.1.0")
def remove(reference: Annotated[str, typer.Argument(help="name@version, or digest.")], as_json: AsJson = False) -> None:
    """Remove a simulator that no run uses: its bundle is deleted, its version is not given out again."""
    with connect() as client:
        view = client.remove_simulator(reference)
    emit(view, as_json, lambda _: say(f"Removed {view['ref']} ({short(view['digest'])})."))
