"""The summary of a finished story, as JSON for machines and as a table for people. Every figure is computed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ringfence.quickstart import plots
from ringfence.quickstart.journal import write_private
from ringfence.quickstart.stages_model import evaluation, interval
from ringfence.quickstart.story import RUNS, Story

NAMES = {"random": "random actions", "clinicians_from_data": "clinicians, from the data alone",
         "clinicians": "clinicians, in the simulator", "online_agent": "agent learned in the simulator (PPO)",
         "offline_agent": "agent learned from the data alone", "optimal": "optimum (value iteration on the true MDP)"}


def summary(story: Story) -> dict[str, Any]:
    """Return what `summary.json` holds."""
    version, runs = story.fact("dataset"), story.fact("runs")
    return {
        "stages": {name: {"seconds": stage["seconds"]} for name, stage in story.journal.stages.items()},
        "dataset": {"version": version["ref"], **{key: version[key] for key in (
            "rows", "subjects", "k", "suppressed_share", "columns_removed")}},
        "runs": {kind: {key: runs[kind][key] for key in ("id", "steps", "steps_per_second")} for kind in RUNS},
        "evaluation": {name: {key: score[key] for key in ("mean", "ci_low", "ci_high", "episodes")}
                       for name, score in evaluation(story).items()},
        "model": story.fact("model_proof"),
        "endpoint": {"answer": story.fact("answer"), "refused_without_key": story.fact("refused_without_key")},
        "audit": story.fact("audit"),
        "tamper": story.fact("tamper"),
        "fence": {"egress_blocked": all(runs[kind]["fence"]["egress_blocked"] for kind in RUNS)},
    }


def save(story: Story) -> dict[str, Any]:
    """Draw the curve, then write the summary: its presence marks the story as complete."""
    steps, returns = _curve(story)
    plots.learning_curve_png(story.home / "learning_curve.png", steps, returns, _references(story))
    content = summary(story)
    write_private(story.home / "summary.json", json.dumps(content, indent=2).encode())
    return content


def show(story: Story, content: dict[str, Any]) -> None:
    """Print the results and how to go on."""
    show_results(story, content)
    story.display.console.print(_next_steps(story), soft_wrap=True)


def show_results(story: Story, content: dict[str, Any]) -> None:
    """Print the closing tables and the curve."""
    console = story.display.console
    console.print()
    console.print(_stages(story))
    console.print(_scores(content))
    _, returns = _curve(story)
    console.print(Panel(plots.learning_curve_text(returns, _references(story), width=min(64, console.width - 50)),
                        title="PPO's mean return while it learned", title_align="left", expand=False))


def failures(story: Story, content: dict[str, Any]) -> list[str]:
    """Return the promises that this story did not keep; empty when it kept them all.

    A story whose steps were cut short does not promise that PPO has learned enough.
    """
    scores = content["evaluation"]
    kept = {
        "k is at least 5": content["dataset"]["k"] >= 5,
        "the offline agent beats the clinicians": scores["offline_agent"]["ci_low"] > scores["clinicians"]["ci_high"],
        "the online agent beats the clinicians": bool(story.options.online_steps)
        or scores["online_agent"]["ci_low"] > scores["clinicians"]["ci_high"],
        "the endpoint refuses a request without a key": content["endpoint"]["refused_without_key"],
        "the audit chain holds": content["audit"]["chain_valid"],
        "the model's signature holds": content["model"]["signature_valid"],
        "forgeries are caught": all(content["tamper"].values()),
        "the fence blocks egress": content["fence"]["egress_blocked"],
    }
    return [promise for promise, holds in kept.items() if not holds]


def _stages(story: Story) -> Table:
    table = Table("stage", "what happened", "evidence", title="The main job", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("s", justify="right")
    for name, stage in story.journal.stages.items():
        table.add_row(name, stage["happened"], stage["evidence"], f"{stage['seconds']:.1f}")
    table.add_row("[dim]refused[/]", f"[dim]{story.fact('raw_refused')}[/]", "[dim]recorded in the trail[/]", "")
    return table


def _scores(content: dict[str, Any]) -> Table:
    table = Table("who decides", title="Mean return: the share of stays survived, with its 95% interval",
                  title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("mean", justify="right")
    table.add_column("interval", justify="right")
    table.add_column("episodes", justify="right")
    scores = content["evaluation"]
    for name in sorted(NAMES, key=lambda key: float(scores[key]["mean"])):
        score = scores[name]
        style = "bold green" if name.endswith("_agent") else ""
        table.add_row(NAMES[name], f"{score['mean']:.3f}", interval(score).partition(" ")[2], f"{score['episodes']:,}",
                      style=style)
    return table


def _curve(story: Story) -> tuple[list[int], list[float]]:
    points = [(int(metric["step"]), float(metric["values"]["return_mean"])) for metric in story.fact("metrics")
              if metric["values"].get("return_mean") is not None]
    return [step for step, _ in points], [value for _, value in points]


def _references(story: Story) -> dict[str, float]:
    scores = evaluation(story)
    return {"clinicians": scores["clinicians"]["mean"], "random": scores["random"]["mean"],
            "offline agent": scores["offline_agent"]["mean"], "optimum": scores["optimal"]["mean"]}


def _next_steps(story: Story) -> str:
    home, command = story.home, Path(sys.executable).with_name("ringfence")
    verify = f"{command} audit verify {home}/evidence/audit.jsonl --key {home}/evidence/audit.pub.pem"
    lines = [f"\nThe learning curve: {home}/learning_curve.png",
             f"Verify the trail yourself, offline:\n  [bold]{verify}[/]"]
    if story.options.keep_running:
        lines += [f"Ask the endpoint yourself:\n  [bold]{escape(story.fact('curl'))}[/]",
                  f"Look around as the explorer, then stop the platform:\n"
                  f"  [bold]export RINGFENCE_HOME={home}; {command} train list; {command} down[/]"]
    return "\n".join(lines)
