"""`ringfence audit search` and `tail`: what they ask for, show and leave out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.canned import Canned, problem
from tests.unit.cli.conftest import Run


def record(seq: int, action: str = "run.show", actor: str = "dana", resource: str = "icu") -> dict[str, Any]:
    return {"seq": seq, "hash": "h", "record": {
        "seq": seq, "time": "2026-01-02T03:04:05.000006+00:00", "actor": {"name": actor}, "action": action,
        "resource": {"name": resource}, "outcome": "read", "reasons": []}}


def answers(platform: Canned, *pages: list[dict[str, Any]]) -> None:
    platform.answers["GET /api/v1/whoami"] = (200, {"name": "ada"})
    platform.answers["GET /api/v1/audit"] = [*((200, {"items": page}) for page in pages), (503, problem("end", "End."))]


def asked(platform: Canned) -> list[str]:
    return [request.path.partition("?")[2] for request in platform.asked("GET /api/v1/audit")]


@pytest.mark.parametrize(("options", "query"), [
    ((), "limit=100"), (("--oldest-first",), "after=0&limit=100"), (("--after", "7"), "after=7&limit=100"),
    (("--oldest-first", "--after", "7"), "after=7&limit=100"), (("--limit", "3"), "limit=3")])
def test_a_search_begins_at_the_newest_unless_told_otherwise(run: Run, platform: Canned, options: tuple[str, ...],
                                                             query: str) -> None:
    answers(platform, [record(2), record(1)])
    assert run("audit", "search", *options).status == 0
    assert asked(platform) == [query]


def test_a_tail_shows_the_newest_last(run: Run, platform: Canned) -> None:
    answers(platform, [record(12), record(11, "audit.search", "ada")])
    finished = run("audit", "tail", "-n", "2", "--actor", "dana")
    assert finished.output.splitlines() == ["11  2026-01-02 03:04:05  ada  audit.search  icu  read",
                                            "12  2026-01-02 03:04:05  dana  run.show  icu  read"]
    assert asked(platform) == ["limit=2&actor=dana"]


def test_following_goes_on_after_the_last_and_leaves_out_its_own_looks(run: Run, platform: Canned) -> None:
    own, foreign = record(13, "audit.search", "ada"), record(14, "audit.search", "eve")
    answers(platform, [record(12)], [own, foreign], [], [record(16)])
    finished = run("audit", "tail", "--follow", "--every", "0.5", "--json")
    assert [json.loads(line)["seq"] for line in finished.output.splitlines()] == [12, 14, 16]
    assert asked(platform)[1:] == ["after=12&limit=1000", "after=14&limit=1000", "after=14&limit=1000",
                                   "after=16&limit=1000"]
    assert (finished.status, finished.errors) == (1, "End. Do otherwise.\n")


def test_following_an_empty_trail_begins_with_its_first_record(run: Run, platform: Canned) -> None:
    answers(platform, [], [record(1)])
    assert run("audit", "tail", "-f", "--every", "0.5").output.startswith("1  2026")
    assert asked(platform)[1] == "after=0&limit=1000"


def test_a_full_page_is_followed_by_the_next_at_once(run: Run, platform: Canned,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("ringfence.cli.audit.time.sleep", slept.append)
    answers(platform, [record(1)], [record(seq) for seq in range(2, 1002)], [record(1002)])
    assert len(run("audit", "tail", "-f", "--json").output.splitlines()) == 1002
    assert slept == [2.0, 2.0], "one before the two pages, one before the end"


def test_what_a_record_says_can_not_steer_the_terminal(run: Run, platform: Canned) -> None:
    answers(platform, [record(1, resource="\x1b[2Jx\n2  forged [red]")])
    output = run("audit", "tail").output
    assert len(output.splitlines()) == 1 and "\x1b" not in output and "[red]" in output
