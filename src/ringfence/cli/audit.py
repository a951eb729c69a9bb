"""`ringfence audit`: the trail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.cli.output import AsJson, Json, emit, say, table, when
from ringfence.cli.session import connect, parsed_json, read_bytes, read_text, write_file
from ringfence.errors import TamperedError

audit = typer.Typer(no_args_is_help=True, help="The audit trail: search, verify, export.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(audit, name="audit")


@audit.command(epilog="Example: ringfence audit search --action dataset.release --outcome denied")
def search(*, actor: Annotated[str | None, typer.Option(help="Account name or id.")] = None,
           action: Annotated[str | None, typer.Option(help="Such as dataset.release, or dataset.")] = None,
           resource: Annotated[str | None, typer.Option(help="Name of what was acted on.")] = None,
           outcome: Annotated[str | None, typer.Option(help="done, read, denied, failed or intended.")] = None,
           after: Annotated[int | None, typer.Option(help="Number of the record before the first.")] = None,
           limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
           as_json: AsJson = False) -> None:
    """Search the trail."""
    with connect() as client:
        records = client.search_audit(actor=actor, action=action, resource=resource, outcome=outcome, after=after,
                                      limit=limit)
    emit(records, as_json, lambda _: table(
        "Trail", {"number": "seq", "at": lambda row: when(_of(row, "time")), "who": lambda row: _name(row, "actor"),
                  "action": lambda row: _of(row, "action"), "what": lambda row: _name(row, "resource"),
                  "outcome": lambda row: _of(row, "outcome"), "why": lambda row: _of(row, "reasons")},
        records, empty="No record matches."))


def _of(row: Json, name: str) -> Any:
    return (row.get("record") or row).get(name, "")


def _name(row: Json, noun: str) -> Any:
    value = _of(row, noun)
    return value.get("name", "") if isinstance(value, dict) else value


@audit.command(epilog="Example: ringfence audit verify audit.jsonl --key audit.pub.pem   (offline)")
def verify(file: Annotated[Path | None, typer.Argument(help="An export; without one, the stored trail.")] = None,
           key: Annotated[Path | None, typer.Option(help="The platform's public key (PEM), kept elsewhere.")] = None,
           earlier: Annotated[Path | None, typer.Option(help="An earlier checkpoint (JSON) to find in it.")] = None,
           as_json: AsJson = False) -> None:
    """Verify the chain: an export offline with the key, or what the platform stores."""
    if file is None:
        with connect() as client:
            report = client.verify_audit()
    else:
        report = _verified_offline(file, key, earlier)
    emit(report, as_json, lambda _: say(f"The chain of {report['records']:,} records holds." if report["valid"]
                                        else f"The chain is BROKEN at record {report['first_broken']}."))
    if not report["valid"]:
        raise TamperedError("audit.tampered", f"The trail does not verify: {report['problem']}",
                            fix="Keep this copy, and compare it with an earlier export.")


def _verified_offline(file: Path, key: Path | None, earlier: Path | None) -> Json:
    from ringfence.trust.audit.chain import verify_export

    if key is None:
        with connect() as client:
            public_key = client.public_key("audit")
    else:
        public_key = read_bytes(key)
    checkpoint = parsed_json(read_text(earlier), "earlier") if earlier else None
    report = verify_export(read_text(file).splitlines(), public_key, checkpoint)
    return {"valid": report.valid, "records": report.records, "first_broken": report.first_broken,
            "problem": report.problem}


@audit.command(epilog="Example: ringfence audit export --output audit.jsonl --key-output audit.pub.pem")
def export(output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("audit.jsonl"),
           key_output: Annotated[Path | None, typer.Option(help="Also write the public key here.")] = None,
           as_json: AsJson = False) -> None:
    """Take the whole trail away as JSON lines that anyone can verify offline."""
    with connect() as client:
        lines = list(client.export_audit())
        if key_output:
            write_file(key_output, client.public_key("audit"))
    write_file(output, "".join(f"{line}\n" for line in lines).encode())
    emit({"file": str(output), "lines": len(lines)}, as_json,
         lambda _: say(f"{len(lines):,} lines in {output}. Verify them with [bold]ringfence audit verify {output}[/]."))
