"""The raw records: whole stays, invented people, all or nothing on disk; the files a user would write are accepted."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ringfence.data import declaration
from ringfence.training import spec
from ringfence.trust.domain import Action, Actor, PolicyInput, Resource
from ringfence.trust.policy import module

STAYS = 400


@pytest.fixture(scope="module")
def path(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("records") / "stays.csv"
    example.generate.generate(written, STAYS, seed=3)
    return written


@pytest.fixture(scope="module")
def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by(rows: list[dict[str, str]], column: str) -> dict[str, list[dict[str, str]]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def test_every_stay_is_whole(rows: list[dict[str, str]]) -> None:
    stays = by(rows, "stay_id")
    assert len(stays) == STAYS
    for steps in stays.values():
        assert [row["step"] for row in steps] == [str(number) for number in range(len(steps))]
        assert [row["next_state"] for row in steps[:-1]] == [row["state"] for row in steps[1:]]
        assert steps[-1]["next_state"] in ("713", "714", "715")
        assert [row["reward"] for row in steps[:-1]] == ["0.0"] * (len(steps) - 1)
        assert steps[-1]["reward"] == ("1.0" if steps[-1]["next_state"] == "714" else "0.0")
        assert len({row["mrn"] for row in steps}) == 1


def test_a_number_belongs_to_one_person_and_some_people_come_back(rows: list[dict[str, str]]) -> None:
    people = by(rows, "mrn")
    assert len(people) == round(STAYS * 0.84)
    for column in ("ssn", "phone", "email"):
        assert len({row[column] for row in rows}) == len(people)
    for steps in people.values():
        for column in ("name", "ssn", "date_of_birth", "address", "region", "phone", "email"):
            assert len({row[column] for row in steps}) == 1
    assert any(len({row["stay_id"] for row in steps}) > 1 for steps in people.values())


def test_identities_have_the_form_of_real_ones(rows: list[dict[str, str]]) -> None:
    forms = {"mrn": r"[1-9]\d{7}", "ssn": r"(?!000|666)\d{3}-(?!00)\d\d-(?!0000)\d{4}",
             "date_of_birth": r"(19[2-9]\d|200[0-5])-\d\d-\d\d", "phone": r"\([2-9]\d\d\) 555-\d{4}",
             "email": r"\S+@example\.(org|com|net)", "address": r"\d+ .+, .+ \d{5}", "name": r"\S+ \S.*"}
    for column, form in forms.items():
        assert all(re.fullmatch(form, row[column]) for row in rows), column


def test_every_note_mentions_its_person(rows: list[dict[str, str]]) -> None:
    for row in rows:
        first, _, last = row["name"].partition(" ")
        assert first in row["note"] or last in row["note"]
    assert len({row["note"] for row in rows}) > len(rows) / 3


def test_the_same_seed_gives_the_same_file(example: SimpleNamespace, path: Path, tmp_path: Path) -> None:
    example.generate.generate(tmp_path / "again.csv", STAYS, seed=3)
    example.generate.generate(tmp_path / "other.csv", STAYS, seed=4)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    assert (tmp_path / "other.csv").read_bytes() != path.read_bytes()


def test_a_write_that_breaks_off_leaves_what_was_there(example: SimpleNamespace, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "stays.csv"
    target.write_text("the last one")
    written = []

    def failing(*_: Any) -> str:
        written.append(1)
        if len(written) > 100:
            raise OSError("no space left")
        return "fine"

    monkeypatch.setattr(example.generate, "note", failing)
    with pytest.raises(OSError, match="no space"):
        example.generate.generate(target, 50, seed=1)
    assert [item.name for item in tmp_path.iterdir()] == ["stays.csv"]
    assert target.read_text() == "the last one"


def test_few_but_some_people_stand_out_by_birth_year_and_region(example: SimpleNamespace) -> None:
    for seed in (1, 7):
        patients = example.people.invent(16_800, seed, np.random.default_rng(seed))
        cells = Counter((person.identity[3][:4], person.identity[5]) for person in patients)
        alone = sum(count for count in cells.values() if count < 5) / len(patients)
        assert 0.01 <= alone <= 0.10


def test_the_stays_are_worth_what_clinicians_are(example: SimpleNamespace, tables: Any) -> None:
    drawn = example.generate.draw_stays(tables, 20_000, np.random.default_rng(8))
    returns = np.bincount(drawn.stay, drawn.reward)
    truth = example.mdp.expected_return(tables, tables.clinicians)
    assert abs(returns.mean() - truth) < 4 * returns.std() / np.sqrt(len(returns))
    assert 8.5 < len(drawn.stay) / 20_000 < 10


def test_the_command_line_says_what_it_did_or_what_is_wrong(example: SimpleNamespace, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(example.folder / "generate.py"), *arguments], capture_output=True,
                              text=True, check=False)

    done = run(str(tmp_path / "a.csv"), "--stays", "5")
    assert done.returncode == 0 and done.stderr == "" and "5 stays" in done.stdout
    for arguments in ((str(tmp_path / "a.csv"), "--stays", "0"), (str(tmp_path / "none" / "a.csv"), "--stays", "5")):
        refused = run(*arguments)
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "Traceback" not in refused.stderr
    assert "--stays" in run("--help").stdout


@pytest.mark.parametrize(("script", "missing", "needed"), [
    ("generate.py", "faker", "faker"), ("generate.py", "icu_sepsis", "icu-sepsis"), ("prepare.py", "safetensors",
                                                                                    "safetensors")])
def test_a_missing_package_is_named_with_the_way_to_get_it(example: SimpleNamespace, tmp_path: Path, script: str,
                                                           missing: str, needed: str) -> None:
    code = f"""
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {missing!r} else find(name, *rest)
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError("absent", name={missing!r})
sys.meta_path.insert(0, Absent())
sys.argv = [{script!r}, {str(tmp_path / "out")!r}]
sys.path.insert(0, {str(example.folder)!r})
runpy.run_path({str(example.folder / script)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"The package {needed} is not installed" in done.stderr
    assert done.stderr.count("\n") == 1 and "ringfence[demo]" in done.stderr


def test_the_declaration_decides_on_every_column(example: SimpleNamespace) -> None:
    declared = declaration.parse((example.folder / "dataset.yaml").read_text())
    assert {rule.column for rule in declared.columns} == set(example.generate.COLUMNS)
    dropped = {rule.column for rule in declared.columns if rule.action == "drop"}
    assert dropped == {"name", "ssn", "address", "phone", "email", "note"}


@pytest.mark.parametrize("name", ["offline", "online"])
def test_the_run_specifications_are_accepted(example: SimpleNamespace, name: str) -> None:
    run = spec.parse((example.folder / "runs" / f"{name}.yaml").read_text())
    assert run.evaluation.episodes >= 40_000
    assert set(run.evaluation.agents) == {"random", "clinicians", "optimal"}


GOOD = {"phase": "result", "k": 5, "suppressed_share": 0.02, "purpose": "sepsis-treatment",
        "columns": ["stay", "state", "birth_year"]}


def reasons(example: SimpleNamespace, context: dict[str, Any], dataset: str = "icu-stays") -> list[str]:
    import json

    import regorus

    checked = module.check("icu", "default", (example.folder / "release.rego").read_text())
    engine = regorus.Engine()
    engine.add_policy("release.rego", checked.rego)
    actor = Actor(id="1", name="steward", kind="person", roles=frozenset({"data_steward"}), project="default")
    question = PolicyInput(actor, Action.DATASET_RELEASE, Resource("dataset", dataset), context)
    engine.set_input_json(json.dumps(question.as_input()))
    denied: list[str] = json.loads(engine.eval_rule_as_json(f"data.ringfence.project.{checked.package}.deny"))
    return denied


def test_the_release_policy_lets_a_good_release_pass(example: SimpleNamespace) -> None:
    assert reasons(example, GOOD) == []
    assert reasons(example, {"phase": "request"}) == []
    assert reasons(example, {"phase": "result", "columns": ["wage"]}, dataset="payroll") == []


@pytest.mark.parametrize(("change", "word"), [
    ({"k": 4}, "5 people"), ({"k": None}, "5 people"), ({"suppressed_share": 0.3}, "fifth"),
    ({"suppressed_share": None}, "fifth"), ({"purpose": "marketing"}, "ethics board"),
    ({"purpose": None}, "ethics board"), ({"columns": ["stay", "note"]}, "note")])
def test_the_release_policy_refuses(example: SimpleNamespace, change: dict[str, Any], word: str) -> None:
    context = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    denied = reasons(example, context)
    assert len(denied) == 1 and word in denied[0]
