"""docs/reference/ says what the code does, and the code keeps to the grammar that the reference promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ringfence.trust.domain import Action, Role
from tools.reference import FOLDER, ROOT, actions, errors, pages, settings

PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name], "run `make reference` and commit what it writes"


def test_every_file_of_the_reference_is_generated_or_known_to_be_written_by_hand() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*PAGES, "policies.md"}


def test_neither_the_terminal_nor_the_machine_shows_in_it(tmp_path: Path) -> None:
    code = "import json; from tools.reference import pages; print(json.dumps(pages()))"
    environment = {**os.environ, "COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1", "HOME": str(tmp_path), "LC_ALL": "C",
                   "RINGFENCE_HOME": str(tmp_path / "elsewhere"), "RINGFENCE_SERVER__PORT": "1234",
                   "RINGFENCE_ENVIRONMENTS": str(tmp_path), "PYTHONHASHSEED": "7"}
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True,
                             text=True)
    assert json.loads(printed.stdout) == PAGES
    assert not [name for name, text in PAGES.items() if str(ROOT) in text or str(Path.home()) + "/" in text]


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_somebodys_or_for_those_without_a_role(action: Action) -> None:
    assert bool(actions.roles_that_may(action)) != (action in actions.WITHOUT_ROLE)


def test_the_roles_data_names_only_what_there_is() -> None:
    data = actions.shipped()
    known, roles = {action.value for action in Action}, {role.value for role in Role}
    assert set(data["actions"]) == roles
    assert {action for allowed in data["actions"].values() for action in allowed} <= known
    assert {name for pair in data["on_behalf_of"].items() for name in pair} <= known
    assert {role for pair in data["conflicts"] for role in pair["roles"]} | set(data["approving"]) <= roles


@pytest.mark.parametrize("raised", errors.raised(), ids=lambda raised: f"{raised.code}-{raised.where}")
def test_every_error_is_named_noun_and_problem_and_says_what_happened(raised: errors.Raised) -> None:
    assert errors.CODE.fullmatch(raised.code)
    assert raised.message


def test_no_code_is_used_with_two_kinds() -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for raised in errors.raised():
        kinds[raised.code].add(raised.kind)
    assert {code: found for code, found in kinds.items() if len(found) > 1} == {}


def test_the_search_for_errors_sees_each_way_of_raising_one() -> None:
    found = {raised.code: raised for raised in errors.raised()}
    assert found["policy.denied"].status == 403  # over several lines
    assert found["declaration.unreadable"].kind == found["spec.unreadable"].kind == "InvalidError"
    assert found["data.malformed"].kind == "WorkloadError"  # a TaskError, inside a fence
    assert found["simulator.gone"].kind == "WorkloadError"  # below TaskError
    assert found["job.lease_lost"].kind == "LeaseLostError"  # in a constructor
    assert found["request.too_slow"].status == 408  # a kind declared beside its use
    assert found["workload.failed"].status == 422  # where a workload names no code


def test_every_variable_that_the_code_reads_is_described() -> None:
    assert settings.variables_in_code() - settings.variables() == set()
