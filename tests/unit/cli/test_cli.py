"""Every command against a platform that answers what the test says: what it sends, prints and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.canned import Canned, problem
from tests.unit.cli.conftest import Run

RUN = {"id": "run-1", "name": "icu", "state": "done", "share": 1.0, "text": "", "spec": {}, "spec_digest": "sha256:1",
       "dataset_version": "icu@1", "columns": ["state"], "simulator_digest": "sha256:2", "seed": 7, "steps": 100,
       "steps_per_second": 5000.0, "model": "icu@1", "error": None, "fence": {"egress_blocked": True},
       "result": {"evaluation": {"agent": {"mean": 0.8261, "ci_low": 0.82, "ci_high": 0.83, "episodes": 40000}},
                  "behaviour_value": {"mean": 0.78, "ci_low": 0.77, "ci_high": 0.79, "episodes": 20000}}}
METRICS = [{"number": n, "step": n * 10, "values": {"return_mean": n / 10, "steps_per_second": 100.0}}
           for n in range(3)]


def test_an_ingest_uploads_and_waits_for_the_parser(run: Run, platform: Canned, tmp_path: Path) -> None:
    (tmp_path / "stays.csv").write_text("a,b\n1,2\n")
    platform.answers["PUT /api/v1/datasets/icu/landing"] = (202, {"id": "job-1"})
    platform.answers["GET /api/v1/jobs/job-1"] = (200, {"id": "job-1", "state": "done", "result": {"rows": 1234}})
    finished = run("data", "ingest", "icu", "stays.csv")
    assert (finished.status, finished.errors) == (0, "")
    assert "1,234 rows" in finished.output
    assert platform.asked("PUT /api/v1/datasets/icu/landing")[0].body == b"a,b\n1,2\n"
    assert json.loads(run("data", "ingest", "icu", "stays.csv", "--json").output)["result"] == {"rows": 1234}


def test_a_refusal_is_one_line_with_the_way_out_and_status_1(run: Run, platform: Canned) -> None:
    refusal = problem("policy.denied", "dan may not dataset.release icu: only a data steward releases.", 403,
                      "Ask\na data steward.")
    platform.answers["POST /api/v1/datasets/icu/releases"] = (403, refusal)
    finished = run("data", "release", "icu")
    assert finished.status == 1
    assert finished.output == ""
    assert finished.errors == ("dan may not dataset.release icu: only a data steward releases. Ask a data steward.\n")


def test_a_job_that_fails_is_told_the_same_way(run: Run, platform: Canned) -> None:
    platform.answers["POST /api/v1/datasets/icu/classifications"] = (202, {"id": "job-1"})
    platform.answers["GET /api/v1/jobs/job-1"] = (200, {
        "id": "job-1", "state": "failed", "error": problem("data.malformed", "Line 7 has 3 fields.", 422)})
    finished = run("data", "classify", "icu")
    assert (finished.status, finished.errors) == (1, "Line 7 has 3 fields. Do otherwise.\n")


def test_debug_shows_the_trace_wherever_it_stands(run: Run, platform: Canned) -> None:
    from ringfence.errors import MissingError

    for arguments in (("--debug", "data", "show", "icu"), ("data", "show", "icu", "--debug")):
        with pytest.raises(MissingError):
            run(*arguments)


@pytest.mark.parametrize("arguments", [("data", "ingest"), ("nonsense",), ("data", "list", "--nonsense"),
                                       ("up", "--port", "70000"), ("audit", "search", "--limit", "0")])
def test_wrong_use_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    finished = run(*arguments)
    assert finished.status == 2
    assert finished.output == ""
    assert "Usage: ringfence" in finished.errors


@pytest.mark.parametrize(("noun", "path"), [
    ("data", "datasets"), ("sim", "simulators"), ("train", "runs"), ("model", "models"), ("endpoint", "endpoints"),
    ("account", "accounts"), ("policy", "policies")])
def test_an_empty_list_says_how_to_begin(run: Run, platform: Canned, noun: str, path: str) -> None:
    platform.answers[f"GET /api/v1/{path}"] = (200, {"items": []})
    assert run(noun, "list", "--json").output == "[]\n"
    assert run(noun, "list").output.startswith("None")


def test_lists_are_tables(run: Run, platform: Canned) -> None:
    platform.answers["GET /api/v1/runs"] = (200, {"items": [RUN]})
    output = run("train", "list").output
    assert "run-1" in output
    assert "5,000" in output
    platform.answers["GET /api/v1/models"] = (200, {"items": [{
        "ref": "icu@1", "stage": "registered", "kind": "tabular", "run": "run-1", "digest": "sha256:" + "a" * 64,
        "evaluation": RUN["result"]}]})
    assert "0.826 (0.820 to 0.830)" in run("model", "list").output


def test_what_a_platform_names_is_not_taken_for_markup(run: Run, platform: Canned) -> None:
    platform.answers["GET /api/v1/datasets"] = (200, {"items": [{"name": "[red]x[/]", "purpose": "[link=a]b"}]})
    assert "[red]x[/]" in run("data", "list").output


def test_what_a_simulator_says_does_not_steer_the_terminal(run: Run, platform: Canned) -> None:
    """Seen broken: a failed run's reason, which is a workload's own words, went to the terminal as it was."""
    steering = "\x1b]52;c;cm0gLXJm\x07\x1b[2J\x9b2Jend"
    platform.answers["GET /api/v1/datasets"] = (200, {"items": [{"name": steering, "purpose": "b"}]})
    platform.answers["GET /api/v1/runs/run-1"] = (422, {"code": "simulator.failed", "title": f"It failed: {steering}"})
    shown = run("data", "list").output + run("train", "show", "run-1").errors
    assert shown.count("end") == 2
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


def test_a_simulator_is_packed_and_inspected(run: Run, platform: Canned, tmp_path: Path) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "simulator.yaml").write_text("kind: Simulator\n")
    platform.answers["POST /api/v1/simulators"] = (202, {"id": "job-1"})
    platform.answers["GET /api/v1/jobs/job-1"] = (
        200, {"state": "done", "result": {"name": "icu", "digest": "sha256:9"}})
    assert "Admitted icu" in run("sim", "build", "sim").output
    body = platform.asked("POST /api/v1/simulators")[0].body
    assert b"simulator.yaml" in body[:100]
    assert run("sim", "build", "nowhere").status == 1


def test_watching_a_run_streams_each_metric_once(run: Run, platform: Canned) -> None:
    platform.answers["GET /api/v1/runs/run-1"] = [(200, {**RUN, "state": "running"}), (200, RUN)]
    platform.answers["GET /api/v1/runs/run-1/metrics"] = [
        (200, {"items": METRICS[:2]}), (200, {"items": []}), (200, {"items": METRICS[2:]}), (200, {"items": []})]
    finished = run("train", "watch", "run-1", "--json")
    assert [json.loads(line)["number"] for line in finished.output.splitlines()] == [0, 1, 2]
    after = [request.path.partition("after=")[2] for request in platform.asked("GET /api/v1/runs/run-1/metrics")]
    assert after == ["-1", "1", "1", "2"]


def test_watching_a_run_that_fails_ends_with_its_reason(run: Run, platform: Canned) -> None:
    error = problem("workload.died", "The learner was killed: out of memory.", 422)
    failed = {**RUN, "state": "failed", "error": error}
    platform.answers["GET /api/v1/runs/run-1"] = (200, failed)
    platform.answers["GET /api/v1/runs/run-1/metrics"] = (200, {"items": []})
    finished = run("train", "watch", "run-1")
    assert finished.status == 1
    assert finished.errors == "Run run-1 failed: The learner was killed: out of memory. Do otherwise.\n"


def test_a_run_is_shown_with_its_intervals(run: Run, platform: Canned) -> None:
    platform.answers["GET /api/v1/runs/run-1"] = (200, RUN)
    output = run("train", "show", "run-1").output
    assert "0.826 (0.820 to 0.830)" in output
    assert "behaviour, from the data" in output


def test_asking_an_endpoint_builds_the_tensor(run: Run, platform: Canned) -> None:
    platform.answers["POST /v2/models/icu/infer"] = (200, {"outputs": [{"shape": [2], "data": [3, 4]}]})
    assert run("endpoint", "ask", "icu", "100", "7").output == "3\n4\n"
    run("endpoint", "ask", "icu", "[0.5, 1]")
    sent = [request.json()["inputs"][0] for request in platform.asked("POST /v2/models/icu/infer")]
    assert sent == [{"name": "observation", "shape": [2], "datatype": "INT64", "data": [100, 7]},
                    {"name": "observation", "shape": [1, 2], "datatype": "FP64", "data": [0.5, 1]}]


@pytest.mark.parametrize("observation", ["x", "{}", '"a"', "[1, [2]]", "[]", "true"])
def test_an_observation_that_is_none_is_refused(run: Run, platform: Canned, observation: str) -> None:
    finished = run("endpoint", "ask", "icu", observation)
    assert finished.status == 1
    assert not platform.requests


def test_a_download_is_written_whole_or_not_at_all(run: Run, platform: Canned, tmp_path: Path) -> None:
    platform.answers["GET /api/v1/models/icu/1/package"] = (200, b"tar")
    assert run("model", "download", "icu@1", "-o", "m.tar").status == 0
    assert (tmp_path / "m.tar").read_bytes() == b"tar"
    finished = run("model", "download", "icu@1", "-o", "no/such/folder.tar")
    assert (finished.status, "can't be written" in finished.errors) == (1, True)


def test_an_export_can_be_verified_without_any_platform_and_a_forged_one_is_caught(
        run: Run, platform: Canned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.answers["GET /api/v1/audit/export"] = (200, "not a chain\n")
    platform.answers["GET /api/v1/keys/public/audit"] = (200, {"pem": "no key"})
    assert run("audit", "export", "-o", "a.jsonl", "--key-output", "k.pem").status == 0
    monkeypatch.delenv("RINGFENCE_URL")
    finished = run("audit", "verify", "a.jsonl", "--key", "k.pem")
    assert finished.status == 1
    assert finished.errors.count("\n") == 1


def test_a_key_is_shown_once_and_its_scopes_are_sent(run: Run, platform: Canned) -> None:
    platform.answers["POST /api/v1/keys"] = (201, {"id": "key-1", "secret": "rf_abc"})
    assert "rf_abc" in run("key", "create", "monitor", "--scope", "endpoint.ask:icu", "--days", "3").output
    assert platform.requests[0].json() == {"account": "monitor", "scopes": ["endpoint.ask:icu"], "days": 3}


def test_nobody_logged_in_says_how(run: Run, platform: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_TOKEN", "")
    finished = run("data", "list")
    assert (finished.status, "ringfence login" in finished.errors) == (1, True)


def test_no_platform_says_how(run: Run) -> None:
    finished = run("data", "list")
    assert (finished.status, "ringfence up" in finished.errors) == (1, True)


def test_a_login_is_remembered_as_a_context(run: Run, platform: Canned, home: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    actor = {"name": "ada", "kind": "person", "roles": ["viewer"], "project": "p", "scopes": []}
    platform.answers["POST /api/v1/sessions"] = (201, {"token": "s3cret", "expires_at": "soon", "actor": actor})
    platform.answers["GET /api/v1/whoami"] = (200, actor)
    for name in ("RINGFENCE_URL", "RINGFENCE_CA", "RINGFENCE_TOKEN"):
        monkeypatch.delenv(name)
    finished = run("login", "ada", "--url", platform.url, "--ca", str(platform.ca), "--as", "ward", "--password-stdin",
                   "--json", stdin="correct horse\n")
    assert json.loads(finished.output)["account"] == "ada"
    assert "s3cret" not in finished.output
    assert platform.requests[0].json() == {"name": "ada", "password": "correct horse"}
    assert run("whoami").status == 0
    assert platform.requests[1].headers["Authorization"] == "Bearer s3cret"
    assert "ward" in run("context", "list").output
    assert run("context", "use", "elsewhere").status == 1
    assert run("--context", "elsewhere", "whoami").status == 1


def test_a_bootstrap_needs_the_token_in_the_home(run: Run, platform: Canned, home: Path) -> None:
    finished = run("login", "ada", "--bootstrap", "--password-stdin", stdin="correct horse\n")
    assert (finished.status, "bootstrap-token" in finished.errors) == (1, True)
    (home / "platform").mkdir(parents=True)
    (home / "platform" / "bootstrap-token").write_text("t\n")
    platform.answers["POST /api/v1/bootstrap"] = (201, {})
    platform.answers["POST /api/v1/sessions"] = (201, {"token": "s", "expires_at": "", "actor": {"roles": []}})
    assert run("login", "ada", "--bootstrap", "--password-stdin", stdin="correct horse\n").status == 0
    assert platform.requests[0].json() == {"token": "t", "name": "ada", "password": "correct horse"}


def test_down_where_nothing_runs_is_fine(run: Run) -> None:
    assert json.loads(run("down", "--json").output) == {"stopped": False}


def test_a_local_file_is_classified_where_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("ssn,n\n" + "".join(f"{100 + i}-45-{6789 - i},{i}\n" for i in range(50)))
    finished = run("data", "classify", "people.csv", "--json")
    assert finished.status == 0, finished.errors
    assert [column["name"] for column in json.loads(finished.output)["columns"]] == ["ssn", "n"]
    missing = run("data", "classify", "none.csv")
    assert (missing.status, missing.errors) == (1, "none.csv can't be read: No such file. "
                                                   "Check the path and its permissions.\n")
