"""Stages 4 to 7: two runs learn in fences, are judged, and the better agent is signed, promoted and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ringfence.client import Client
from ringfence.errors import RingfenceError, UnauthenticatedError, WorkloadError
from ringfence.quickstart.cast import ADMINISTRATOR, CALLER, MLOPS, OFFICER, SCIENTIST
from ringfence.quickstart.display import Advance
from ringfence.quickstart.stages_data import Told
from ringfence.quickstart.story import ENDPOINT, RUNS, SIMULATOR, Story, run_example, wait_for


def train(story: Story, advance: Advance) -> Told:
    """Admit the simulator, submit both runs, and watch them learn."""
    scientist = story.cast.acting_as(SCIENTIST)
    _admit_simulator(story, scientist, advance)
    ids = {kind: _submitted(story, scientist, kind) for kind in RUNS}
    for place, kind in enumerate(RUNS):
        _until(scientist, ids[kind], ("evaluating", "done"), _part(advance, place))
    speed = scientist.run(ids["online"])["steps_per_second"]
    return "from logs: planned with pessimism; in the simulator: PPO", f"{speed:,.0f} fenced steps/s"


def evaluate(story: Story, advance: Advance) -> Told:
    """Wait for both evaluations, and compare the agents with the people whose decisions they learned from."""
    scientist = story.cast.acting_as(SCIENTIST)
    runs = {}
    for kind in RUNS:
        runs[kind] = _until(scientist, story.fact("run_ids")[kind], ("done",), advance)
    story.journal.remember(runs=runs, metrics=scientist.run_metrics(story.fact("run_ids")["online"]))
    scores = evaluation(story)
    clinicians = scores["clinicians"]
    above = [kind for kind in RUNS if scores[f"{kind}_agent"]["ci_low"] > clinicians["ci_high"]]
    best = max(RUNS, key=lambda kind: float(scores[f"{kind}_agent"]["mean"]))
    story.journal.remember(best=best)
    return (f"{len(above)} of {len(RUNS)} agents beat the clinicians' {clinicians['mean']:.3f}",
            f"best: {best} {interval(scores[f'{best}_agent'])}")


def register(story: Story, advance: Advance) -> Told:
    """Promote the better model: MLOps asks, the security officer approves, policy checks both and the figures."""
    reference = str(story.fact("runs")[story.fact("best")]["model"])
    mlops = story.cast.acting_as(MLOPS)
    advance(0.2, "requesting promotion")
    if mlops.model(reference)["stage"] != "production":
        request = mlops.request_promotion(reference, "production", "better than the clinicians it learned from")
        advance(0.6, "approving")
        story.cast.acting_as(OFFICER).approve_promotion(request["id"], "interval and signature checked")
    model = mlops.model(reference)
    story.journal.remember(model=model)
    return f"{reference} signed, promoted by two people", model["digest"][:19] + "…"


def deploy(story: Story, advance: Advance) -> Told:
    """Serve the model over TLS, ask it with a key, and be refused without one."""
    mlops = story.cast.acting_as(MLOPS)
    advance(0.2, "deploying")
    if ENDPOINT not in [endpoint["name"] for endpoint in mlops.endpoints()]:
        mlops.deploy(ENDPOINT, str(story.fact("model")["ref"]))
    if not story.cast.secret(CALLER):
        administrator = story.cast.acting_as(ADMINISTRATOR)
        key = administrator.create_key(account=CALLER, scopes=[f"endpoint.ask:{ENDPOINT}"], days=30)
        story.cast.keep(CALLER, key["secret"])
    advance(0.6, "asking")
    key_file = _key_file(story)
    answer = _ask(story, key_file)
    refused = _refused(story)
    story.journal.remember(answer=answer, refused_without_key=refused, curl=curl_line(story, key_file))
    action = answer["outputs"][0]["data"][0]
    without_key = "refused" if refused else "ANSWERED"
    return f"state {ASKED} → action {action}; without a key: {without_key}", f"{ENDPOINT} over TLS"


ASKED = 100


def question() -> dict[str, Any]:
    """Return an Open Inference Protocol request for one state."""
    return {"inputs": [{"name": "observation", "shape": [1], "datatype": "INT64", "data": [ASKED]}]}


def curl_line(story: Story, key_file: Path) -> str:
    """Return the line a person can paste into a terminal; the key stays in its file, outside the arguments."""
    return (f"curl --cacert {story.fact('ca')} -H @{key_file} -H 'Content-Type: application/json' "
            f"-d '{json.dumps(question())}' {story.fact('url')}/v2/models/{ENDPOINT}/infer")


def evaluation(story: Story) -> dict[str, dict[str, Any]]:
    """Return mean and interval of each agent, under the names of the summary."""
    offline, online = (story.fact("runs")[kind]["result"] for kind in RUNS)
    judged = {**offline["evaluation"], **online["evaluation"]}
    return {"offline_agent": offline["evaluation"]["agent"], "online_agent": online["evaluation"]["agent"],
            "clinicians": judged["clinicians"], "clinicians_from_data": offline["behaviour_value"],
            "random": judged["random"], "optimal": judged["optimal"]}


def interval(score: dict[str, Any]) -> str:
    """Return a score as `.826 (.824 to .828)`."""
    return f"{score['mean']:.3f} ({score['ci_low']:.3f} to {score['ci_high']:.3f})"


def _part(advance: Advance, place: int) -> Advance:
    return lambda share, text: advance(0.1 + 0.9 * (place + share) / len(RUNS), text)


def _admit_simulator(story: Story, scientist: Client, advance: Advance) -> None:
    advance(0.0, "preparing the simulator")
    if not story.simulator_project.exists():
        unfinished = story.simulator_project.with_suffix(".partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(story.example / "simulator", unfinished)
        run_example(story, "prepare.py", str(unfinished))
        unfinished.rename(story.simulator_project)
    if SIMULATOR not in [simulator["name"] for simulator in scientist.simulators()]:
        wait_for(scientist, scientist.build_simulator(story.simulator_project), advance, 0.02, 0.1)


def _submitted(story: Story, scientist: Client, kind: str) -> str:
    """Submit a run once, however often this stage is tried."""
    ids: dict[str, str] = story.journal.facts.get("run_ids", {})
    if kind in ids and scientist.run(ids[kind])["state"] != "failed":
        return ids[kind]
    spec = story.run_spec(kind)
    run = scientist.submit_run(spec)
    story.journal.remember(run_ids={**ids, kind: run["id"]})
    return str(run["id"])


def _until(client: Client, run_id: str, states: tuple[str, ...], advance: Advance) -> dict[str, Any]:
    def show(run: dict[str, Any]) -> None:
        advance(float(run.get("share") or 0.0), f"{run['name']}: {run.get('text') or run['state']}")

    run = client.wait_run(run_id, states, on_progress=show)
    if run["state"] == "failed":
        problem = run["error"] or {}
        raise WorkloadError("quickstart.run_failed", f"Run {run['name']} failed: {problem.get('title', 'no reason')}",
                            fix=problem.get("fix") or "Run the same command again.")
    return run


def _key_file(story: Story) -> Path:
    """Keep the key in a header file of mode 0600, so that it never stands in a process's arguments."""
    from ringfence.quickstart.journal import write_private

    path = story.home / "client" / "endpoint-key.header"
    write_private(path, f"Authorization: Bearer {story.cast.secret(CALLER)}\n".encode())
    return path


def _ask(story: Story, key_file: Path) -> dict[str, Any]:
    if shutil.which("curl") is None:
        return dict(story.cast.acting_as(CALLER).infer(ENDPOINT, question()))
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--cacert", str(story.fact("ca")),
               "-H", f"@{key_file}", "-H", "Content-Type: application/json", "-d", json.dumps(question()),
               f"{story.fact('url')}/v2/models/{ENDPOINT}/infer"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RingfenceError("quickstart.ask", f"The endpoint did not answer: {finished.stdout or finished.stderr}.",
                             fix="See `ringfence status`; then run the same command again.")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def _refused(story: Story) -> bool:
    try:
        story.cast.anonymous().infer(ENDPOINT, question())
    except UnauthenticatedError:
        return True
    return False
