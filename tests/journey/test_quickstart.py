"""The main job, in small, through the command that a newcomer types."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Told

from ringfence.storage.blobs import Zone
from ringfence.storage.blobs_file import FileBlobs
from ringfence.trust.keys.keys_file import FileKeys

BASE_PYTHON = Path(sys.prefix) / "envs" / "base" / "bin" / "python"


@pytest.fixture(scope="module")
def summary(told: Told) -> dict[str, Any]:
    path = told.home.path / "summary.json"
    assert path.exists(), told.output
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(scope="module")
def rows(told: Told) -> list[dict[str, str]]:
    with (told.home.path / "source" / "icu_stays.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_release_is_anonymous_enough_and_says_what_it_left_out(
        summary: dict[str, Any], rows: list[dict[str, str]]) -> None:
    dataset = summary["dataset"]
    assert dataset["k"] >= 5
    assert 0 < dataset["suppressed_share"] <= 0.2
    assert 0 < dataset["rows"] < len(rows)
    assert 0 < dataset["subjects"] < len({row["mrn"] for row in rows})
    assert {"name", "ssn", "address", "phone", "email", "note"} <= set(dataset["columns_removed"])


def test_both_runs_learned_and_the_offline_agent_beats_the_clinicians(summary: dict[str, Any]) -> None:
    scores = summary["evaluation"]
    assert scores["offline_agent"]["ci_low"] > scores["clinicians"]["ci_high"]
    assert scores["optimal"]["mean"] > scores["offline_agent"]["mean"]
    for score in scores.values():
        assert score["ci_low"] < score["mean"] < score["ci_high"]
        assert score["episodes"] > 0
    from_data = scores["clinicians_from_data"]
    assert from_data["ci_low"] < scores["clinicians"]["mean"] < from_data["ci_high"]
    assert all(run["steps"] > 0 and run["steps_per_second"] > 0 for run in summary["runs"].values())


def test_every_stage_took_a_measured_time(summary: dict[str, Any]) -> None:
    assert list(summary["stages"]) == ["start", "ingest", "release", "train", "evaluate", "register", "deploy", "prove"]
    assert all(stage["seconds"] > 0 for stage in summary["stages"].values())


def test_the_evidence_holds_and_forgeries_are_caught(summary: dict[str, Any]) -> None:
    assert summary["audit"]["chain_valid"] is True
    assert summary["model"]["signature_valid"] is True
    assert summary["tamper"] == {"audit_caught": True, "model_caught": True}
    assert summary["fence"]["egress_blocked"] is True
    assert summary["endpoint"]["refused_without_key"] is True


def test_the_evidence_verifies_offline_with_the_command_line(told: Told, summary: dict[str, Any]) -> None:
    evidence = told.home.path / "evidence"
    good = told.home.run("audit", "verify", str(evidence / "audit.jsonl"), "--key", str(evidence / "audit.pub.pem"))
    assert good.returncode == 0, good.stderr
    bad = told.home.run("audit", "verify", str(evidence / "forged-audit-changed.jsonl"),
                        "--key", str(evidence / "audit.pub.pem"))
    assert bad.returncode == 1
    model = told.home.run("model", "verify", summary["model"]["path"], "--key", str(evidence / "models.pub.pem"))
    assert model.returncode == 0, model.stderr
    forged = told.home.run("model", "verify", str(evidence / "forged-model.tar"),
                           "--key", str(evidence / "models.pub.pem"))
    assert forged.returncode == 1


def test_the_printed_curl_line_works_and_needs_the_key(told: Told) -> None:
    [line] = [line.strip() for line in told.output.splitlines() if "curl --cacert" in line]
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert json.loads(answer.stdout)["outputs"][0]["data"][0] in range(25), answer.stderr
    keyless = re.sub(r" -H @\S+", "", line)
    refused = json.loads(subprocess.run(["bash", "-c", keyless], capture_output=True, text=True, check=False).stdout)
    assert refused["status"] == 401


def test_the_trail_shows_the_refused_scientist_and_names_no_patient(told: Told, rows: list[dict[str, str]]) -> None:
    lines = (told.home.path / "evidence" / "audit.jsonl").read_text()
    refused = [line for line in lines.splitlines() if "dataset.read_raw" in line and "dan.scientist" in line]
    assert any('"denied"' in line for line in refused)
    for row in rows[:: max(1, len(rows) // 300)]:
        assert row["mrn"] not in lines
        assert row["ssn"] not in lines


def test_the_cast_is_gone_but_the_explorer(told: Told) -> None:
    assert not (told.home.path / "secrets.json").exists()
    who = told.home.json("whoami")
    assert who["name"] == "explorer"
    accounts = {line for line in (told.home.path / "evidence" / "audit.jsonl").read_text().splitlines()
                if "account.disable" in line}
    assert len(accounts) >= 6


def test_the_home_is_marked_as_a_demo_for_ever(told: Told) -> None:
    assert (told.home.json("status")["demo"], told.home.json("up")["demo"]) == (True, True)
    assert "demo, for ever" in told.home.run("status").stdout
    assert "demo, for ever" in told.home.run("up").stdout


def _files(told: Told) -> list[Path]:
    """Everything that the story has left on the disk, but the hospital's own raw file."""
    every = [*told.home.path.rglob("*"), *told.home.temporary.rglob("*")]
    return [path for path in every if path.is_file() and told.home.path / "source" not in path.parents]


def test_no_identity_is_left_in_zones_logs_or_temporary_folders(told: Told, rows: list[dict[str, str]]) -> None:
    sample = rows[:: max(1, len(rows) // 400)]
    identities = {row[column].encode() for row in sample for column in ("name", "mrn", "ssn", "phone", "email")}
    identities |= {row["address"].splitlines()[0].encode() for row in sample}
    files = _files(told)
    assert len(files) > 20
    leaks = [str(path) for path in files for content in [path.read_bytes()]
             for identity in identities if identity in content]
    assert not leaks


def _released_csv(told: Told) -> str:
    """Return what the processing zone holds, decrypted and decoded."""
    platform = told.home.path / "platform"
    store = FileBlobs(platform / "objects", FileKeys(platform / "keys"))
    [name] = store.list(Zone.PROCESSING)
    program = "import polars, sys; polars.read_parquet(sys.stdin.buffer.read()).write_csv(sys.stdout)"
    with open(store.open(Zone.PROCESSING, name), "rb") as parquet:
        return subprocess.run([BASE_PYTHON, "-c", program], stdin=parquet, capture_output=True, text=True,
                              check=True).stdout


def test_the_released_rows_name_nobody(told: Told, rows: list[dict[str, str]]) -> None:
    released = _released_csv(told)
    header, *lines = released.splitlines()
    assert set(header.split(",")) == {"subject", "stay", "birth_year", "region", "step", "state", "action",
                                      "next_state", "reward"}
    assert rows[0]["region"] in released  # what is kept can be found, so what is not found is not there
    raw = ("name", "mrn", "ssn", "phone", "email", "stay_id", "date_of_birth")
    cells = {cell for line in lines for cell in line.split(",")}
    assert not cells & {row[column] for row in rows for column in raw}
    assert len(lines) == json.loads((told.home.path / "summary.json").read_text())["dataset"]["rows"]
