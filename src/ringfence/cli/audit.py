"""`ringfence audit`: the trail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.output import AsJson, Json, emit, say, table, text_of, when
from ringfence.cli.session import connect, parsed_json, read_bytes, read_text, write_file
from ringfence.errors import TamperedError

if TYPE_CHECKING:
    from ringfence.client import Client

audit = typer.Typer(no_args_is_help=True, help="The audit trail: search, tail, verify, export.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(audit, name="audit")


@audit.command(epilog="Example: ringfence audit search --action dataset.release --outcome denied")
def search(*, actor: Annotated[str | None, typer.Option(help="Account name or id.")] = None,
           action: Annotated[str | None, typer.Option(help="Such as dataset.release, or dataset.")] = None,
           resource: Annotated[str | None, typer.Option(help="Name of what was acted on.")] = None,
           outcome: Annotated[str | None, typer.Option(help="done, read, denied, failed or intended.")] = None,
           after: Annotated[int | None, typer.Option(
               min=0, help="Those that follow the record with this number, in order.")] = None,
           oldest_first: Annotated[bool, typer.Option("--oldest-first", help="From the first record on.")] = False,
           limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
           as_json: AsJson = False) -> None:
    """Search the trail: the newest first, unless --after or --oldest-first says where to begin."""
    after = 0 if oldest_first and after is None else after
    with connect() as client:
        records = client.search_audit(actor=actor, action=action, resource=resource, outcome=outcome, after=after,
                                      limit=limit)
    emit(records, as_json, lambda _: table(
        "Trail", {"number": "seq", "at": lambda row: when(_of(row, "time")), "who": lambda row: _name(row, "actor"),
                  "action": lambda row: _of(row, "action"), "what": lambda row: _name(row, "resource"),
                  "outcome": lambda row: _of(row, "outcome"), "why": lambda row: _of(row, "reasons")},
        records, empty="No record matches."))


@audit.command(epilog="Example: ringfence audit tail --follow --action endpoint")
def tail(*, actor: Annotated[str | None, typer.Option(help="Account name or id.")] = None,
         action: Annotated[str | None, typer.Option(help="Such as dataset.release, or dataset.")] = None,
         outcome: Annotated[str | None, typer.Option(help="done, read, denied, failed or intended.")] = None,
         lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="So many to begin with.")] = 20,
         follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
         every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2.0,
         as_json: AsJson = False) -> None:
    """Show the newest records, a line each, the newest last; what follows them leaves out your own searches."""
    with connect() as client, suppress(KeyboardInterrupt):
        for record in _tail(client, lines, every if follow else None, actor=actor, action=action, outcome=outcome):
            print(json.dumps(record) if as_json else _line(record), flush=True)


def _tail(client: Client, lines: int, every: float | None, **wanted: str | None) -> Iterator[Json]:
    newest = client.search_audit(limit=lines, **wanted)[::-1]
    yield from newest
    if every is None:
        return
    me, last = client.whoami()["name"], newest[-1]["seq"] if newest else 0
    while True:
        time.sleep(every)
        while records := client.search_audit(after=last, limit=1000, **wanted):
            yield from (row for row in records if (_of(row, "action"), _name(row, "actor")) != ("audit.search", me))
            last = records[-1]["seq"]
            if len(records) < 1000:
                break


def _line(row: Json) -> str:
    cells = (str(row["seq"]), when(_of(row, "time")), _name(row, "actor"), _of(row, "action"), _name(row, "resource"),
             _of(row, "outcome"), _of(row, "reasons"))
    return "  ".join(" ".join(text_of(cell).split()) for cell in cells if cell not in ("", []))


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
