"""`ringfence model`: the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.output import AsJson, Json, emit, facts, say, score, short, table, when
from ringfence.cli.session import connect, read_bytes, write_file
from ringfence.errors import TamperedError

model = typer.Typer(no_args_is_help=True, help="Model versions: list, show, verify, promote, approve, download.")

Reference = Annotated[str, typer.Argument(help="A model version: name@3.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the trail.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(model, name="model")


@model.command("list", epilog="Example: ringfence model list")
def list_(as_json: AsJson = False) -> None:
    """List the model versions."""
    with connect() as client:
        views = client.models()
    emit(views, as_json, lambda _: table(
        "Models", {"version": "ref", "stage": "stage", "kind": "kind", "run": "run",
                   "mean return": lambda row: score(_of_the_agent(row)),
                   "digest": lambda row: short(row.get("digest"))},
        views, empty="None yet: a run that ends well registers one."))


@model.command(epilog="Example: ringfence model show icu-offline@1")
def show(reference: Annotated[str, typer.Argument(help="name@3, or name for the latest.")],
         as_json: AsJson = False) -> None:
    """Show a model version: stage, evaluation, provenance."""
    with connect() as client:
        view = client.model(reference)
    emit(view, as_json, _show)


def _of_the_agent(view: Json) -> Json:
    evaluation = view.get("evaluation") or {}
    scores: Json = evaluation.get("evaluation") or evaluation
    agent: Json = scores.get("agent") or {}
    return agent


def _show(view: Json) -> None:
    facts(view["ref"], {"stage": view["stage"], "kind": view.get("kind"), "digest": view["digest"],
                        "size": f"{view['size']:,} bytes", "run": view.get("run"),
                        "mean return": score(_of_the_agent(view)), "registered": when(view.get("registered_at"))})
    say("")
    facts("Comes from", _origins(view.get("provenance") or {}))


def _origins(provenance: Json) -> Json:
    """Return what a person looks for first; `--json` shows all of it."""
    dataset, code = provenance.get("dataset") or {}, provenance.get("code") or {}
    return {"dataset": dataset.get("version"), "its digest": dataset.get("digest"), "columns": dataset.get("columns"),
            **{f"simulator ({use})": f"{simulator.get('version')} {simulator.get('digest')}"
               for use, simulator in (provenance.get("simulators") or {}).items()},
            "code": code.get("revision") or code.get("digest"), "spec": provenance.get("spec_digest"),
            "seed": provenance.get("seed"), "submitted by": (provenance.get("submitted_by") or {}).get("account"),
            "egress blocked": (provenance.get("fence") or {}).get("egress_blocked")}


@model.command(epilog="Example: ringfence model verify model.tar --key models.pub.pem   (offline), or icu-offline@1")
def verify(target: Annotated[str, typer.Argument(help="A package file, or a model version (name@3).")],
           key: Annotated[Path | None, typer.Option(help="The platform's public key (PEM), for a file.")] = None,
           as_json: AsJson = False) -> None:
    """Verify a model's signature: a file offline with the key, or what the platform stores."""
    if key is not None or Path(target).is_file():
        report = _verified_offline(Path(target), key)
    else:
        with connect() as client:
            report = client.verify_model(target)
    emit(report, as_json, lambda _: say(f"{'The signature holds' if report['valid'] else 'REFUSED'}: "
                                        f"{report['problem'] or report['digest']}"))
    if not report["valid"]:
        raise TamperedError("model.tampered", f"{target} is not what was signed: {report['problem']}",
                            fix="Download it again, and do not use this copy.")


def _verified_offline(file: Path, key: Path | None) -> Json:
    from ringfence.registry.package import verify_package

    if key is None:
        with connect() as client:
            public_key = client.public_key("models")
    else:
        public_key = read_bytes(key)
    report = verify_package(read_bytes(file), public_key)
    return {"valid": report.valid, "digest": report.digest, "problem": report.problem,
            "statement": dict(report.statement)}


@model.command(epilog="Example: ringfence model promote icu-offline@1 --reason 'beats the clinicians'")
def promote(reference: Reference, reason: Reason, stage: Annotated[str, typer.Option(help="Where to.")] = "production",
            as_json: AsJson = False) -> None:
    """Ask that a version be promoted. Another person approves with `ringfence model approve`."""
    with connect() as client:
        view = client.request_promotion(reference, stage, reason)
    emit(view, as_json, lambda _: say(f"Requested as {view['id']}. A second person approves it with "
                                      f"[bold]ringfence model approve {view['id']} --reason …[/]."))


@model.command(epilog="Example: ringfence model approve promotion-0g3kq7v1x9mz --reason 'interval checked'")
def approve(promotion: Annotated[str, typer.Argument(help="Id of the request.")], reason: Reason,
            as_json: AsJson = False) -> None:
    """Approve somebody else's request for promotion."""
    with connect() as client:
        view = client.approve_promotion(promotion, reason)
    emit(view, as_json, lambda _: say(f"{view.get('model', 'The version')} is now {view.get('stage', 'promoted')}."))


@model.command(epilog="Example: ringfence model download icu-offline@1 --output model.tar")
def download(reference: Reference,
             output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
             as_json: AsJson = False) -> None:
    """Download a signed package."""
    with connect() as client:
        content = client.model_package(reference)
    path = output or Path(f"{reference.replace('@', '-')}.tar")
    write_file(path, content)
    emit({"file": str(path), "bytes": len(content)}, as_json,
         lambda _: say(f"{len(content):,} bytes in {path}. Verify them with [bold]ringfence model verify {path}[/]."))
