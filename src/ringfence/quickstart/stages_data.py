"""Stages 1 to 3: the platform starts, raw records land in quarantine, a de-identified version is released."""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from ringfence.errors import ConflictError, DeniedError, MissingError, RingfenceError
from ringfence.paths import DEFAULT_PORT
from ringfence.quickstart.cast import ADMINISTRATOR, OFFICER, SCIENTIST, STEWARD, WRITER
from ringfence.quickstart.display import Advance
from ringfence.quickstart.story import DATASET, Story, ringfence, run_example, wait_for
from ringfence.supervisor.home import Home, holder

Told = tuple[str, str]
"""What happened, and the evidence for it: two cells of the closing table."""


def start(story: Story, advance: Advance) -> Told:
    """Start the platform, create the cast, let the security officer add the dataset's release policy.

    A story that goes on has all that already, and may have ended some of the accounts.
    """
    advance(0.1, "starting the platform")
    last, up = story.journal.facts.get("url", ""), ringfence(story.home, "up", *_port(story))
    story.journal.remember(url=up["url"], ca=up["ca"], port=int(up["url"].rsplit(":", 1)[1]))
    story.cast.url, story.cast.authority = up["url"], Path(up["ca"])
    before = story.journal.stages.get("start")
    if before:
        if "curl" in story.journal.facts:
            story.journal.remember(curl=story.fact("curl").replace(last, up["url"]))
        return before["happened"], up["url"]
    advance(0.5, "creating accounts")
    _bootstrap(story)
    story.cast.create_accounts()
    if not story.cast.secret(WRITER):
        key = story.cast.acting_as(ADMINISTRATOR).create_key(account=WRITER, scopes=["dataset.ingest"], days=1)
        story.cast.keep(WRITER, key["secret"])
    advance(0.8, "adding the release policy")
    _unless_exists(lambda: story.cast.acting_as(OFFICER).add_policy("icu-stays-release", story.text("release.rego")))
    return f"own CA, TLS 1.3, {len(story.cast.acting_as(ADMINISTRATOR).accounts())} accounts", up["url"]


def ingest(story: Story, advance: Advance) -> Told:
    """Generate the hospital's CSV, declare the dataset, land the file through the one writer of the landing zone."""
    advance(0.0, "drawing stays from the ICU-Sepsis MDP")
    if not story.source.exists():
        story.source.parent.mkdir(mode=0o700, exist_ok=True)
        for unfinished in story.source.parent.glob(f".{story.source.name}.*"):
            unfinished.unlink()
        run_example(story, "generate.py", str(story.source), "--stays", str(story.options.stays),
                    "--seed", str(story.options.seed))
    advance(0.3, "declaring the dataset")
    _unless_exists(lambda: story.cast.acting_as(STEWARD).declare_dataset(story.text("dataset.yaml")))
    writer = story.cast.acting_as(WRITER)
    job = writer.ingest(DATASET, story.source, on_progress=lambda share: advance(0.3 + 0.4 * share, "uploading"))
    result = wait_for(story.cast.acting_as(STEWARD), job, advance, 0.7, 1.0)
    _remember_landed(story, result)
    return f"{result['rows']:,} raw rows sealed in the landing zone", f"sha256 {_digest(story.source)[:12]}…"


def release(story: Story, advance: Advance) -> Told:
    """Find the identifiers, de-identify by the declaration, measure anonymity, let policy decide."""
    steward = story.cast.acting_as(STEWARD)
    wait_for(steward, steward.classify(DATASET), advance, 0.0, 0.4)
    story.journal.remember(findings=steward.dataset(DATASET)["findings"])
    if not steward.dataset(DATASET)["versions"]:
        wait_for(steward, steward.release(DATASET), advance, 0.4, 1.0)
    view = steward.dataset(DATASET)
    version = view["versions"][-1]
    kept = {key: value for key, value in version.items() if key != "example"}  # it shows a raw row
    story.journal.remember(dataset=kept, raw_refused=_raw_refused(story))
    show_before_and_after(story, view)
    return (f"{len(version['columns_removed'])} columns removed, k = {version['k']}, "
            f"{version['suppressed_share']:.1%} suppressed", version["ref"])


def show_before_and_after(story: Story, view: dict[str, Any]) -> None:
    """Print one row as it came and as it was released (the steward may see both)."""
    from rich import box
    from rich.table import Table

    example = view["versions"][-1].get("example") or {}
    before, after = example.get("before", {}), example.get("after", {})
    if not before:
        return
    widths = {"raw column": 13, "before": 18, "found": 14, "released as": 11, "after": 12}
    spare = max(0, story.display.console.width - sum(widths.values()) - 3 * len(widths)) // 3
    table = Table(title="One row, before and after", title_justify="left", box=box.SIMPLE_HEAD)
    for heading, width in widths.items():
        table.add_column(heading, no_wrap=True, overflow="ellipsis",
                         max_width=width + min(spare, 20) * (heading in ("before", "found", "after")))
    found = {finding["name"]: finding["type"] for finding in story.fact("findings")}
    for name, value in before.items():
        outputs = [column for column in view["versions"][-1]["columns"] if column.get("source", column["name"]) == name]
        target = outputs[0]["name"] if outputs else ""
        kind = found.get(name, "")
        table.add_row(name, _one_line(value), kind if kind not in ("NONE", "NUMERIC", "CATEGORICAL") else "",
                      target or "[red]removed[/]", _one_line(after.get(target, "")) if target else "")
    story.display.say("")
    story.display.console.print(table)


def _raw_refused(story: Story) -> str:
    try:
        story.cast.acting_as(SCIENTIST).read_raw(DATASET)
    except (DeniedError, MissingError) as error:
        return error.message
    raise RingfenceError("quickstart.raw_readable", "The data scientist could read the raw data.",
                         fix="Do not use this installation: its policies have been changed.")


def _bootstrap(story: Story) -> None:
    token = story.home / "platform" / "bootstrap-token"
    if token.exists():
        story.cast.anonymous().bootstrap(token.read_text().strip(), ADMINISTRATOR, story.cast.password(ADMINISTRATOR))


def _port(story: Story) -> tuple[str, ...]:
    """Return which port to ask for: none where the platform runs, else the last try's, the default, or a free one."""
    if story.options.port:
        return "--port", str(story.options.port)
    if holder(Home(story.home).lock_file):
        return ()
    return "--port", str(_free_port(int(story.journal.facts.get("port", DEFAULT_PORT))))


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    return wanted


def _remember_landed(story: Story, result: dict[str, Any]) -> None:
    story.journal.remember(landed={"rows": result["rows"], "sha256": _digest(story.source)})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unless_exists(create: Any) -> None:
    with suppress(ConflictError):
        create()


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
