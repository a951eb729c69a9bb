"""What a user gets wrong: one line that names the problem and the way out, nothing half-written, and a way on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ringfence_command import RINGFENCE, Home
from running_platform import (
    CALLER,
    EXAMPLE,
    OFFICER,
    SCIENTIST,
    STEWARD,
    WRITER,
    Platform,
    declaration,
    free_port,
    the_line,
)

from ringfence.errors import INTERRUPTED
from ringfence.supervisor.home import Home as Layout
from ringfence.supervisor.home import holder

RELEASED = "stays"
Damage = Callable[[list[bytes]], list[bytes]]


def until(holds: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert process is None or process.poll() is None, process and process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C; return the one line that the command leaves."""
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    return the_line(subprocess.CompletedProcess((), process.returncode, output, errors), 130)


@contextmanager
def paused(worker: int) -> Iterator[None]:
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.fixture(scope="module")
def released(platform: Platform, stays_file: Path) -> Platform:
    """The platform with one released version, `stays@1`."""
    platform.declare(declaration(RELEASED))
    platform.land(RELEASED, stays_file)
    with platform.client(STEWARD) as steward:
        steward.wait_job(steward.release(RELEASED)["id"])
    return platform


# Files


def _with(number: int, change: Callable[[bytes], bytes]) -> Damage:
    return lambda lines: [*lines[:number], change(lines[number]), *lines[number + 1:]]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a row with too few values": (_with(40, lambda line: b",".join(line.split(b",")[:3])),
                                  "Line 41: the row has 3 values, the header names 15 columns."),
    "a row with too many": (_with(40, lambda line: line + b",1"), "Line 41: the row has 16 values"),
    "bytes that are no UTF-8": (_with(7, lambda line: b"\xff" + line), "Line 8: a byte is not valid UTF-8."),
    "UTF-16": (lambda lines: [line.decode().encode("utf-16") for line in lines], "NUL byte"),
    "nothing": (lambda lines: [], "The file is empty."),
    "a header alone": (lambda lines: lines[:1], "The file has a header and no rows."),
    "a column twice": (_with(0, lambda line: line.replace(b"region", b"state")), "column 12 has the same name"),
    "a stray quote": (_with(3, lambda line: line + b'"'), "Line 4: a quote stands inside a value."),
    "a quote that stays open": (_with(40, lambda line: line.rpartition(b",")[0] + b',"1'),
                                "Line 41: a quoted value is opened here, and not closed as it should be."),
    "a misspelt column": (_with(0, lambda line: line.replace(b"region", b"regoin")),
                          "There is no column 'region' in the data. Did you mean 'regoin'?"),
    "a word among numbers": (_with(6, lambda line: line.rpartition(b",")[0] + b",oops"),
                             "Column 'reward' is declared number, but line 7"),
}


@pytest.fixture(scope="module")
def malformed(platform: Platform) -> str:
    platform.declare(declaration("malformed"))
    return "malformed"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_malformed_file_is_refused_and_nothing_of_it_stays(
        platform: Platform, malformed: str, stays_file: Path, tmp_path: Path, damage: str) -> None:
    damaged, said = DAMAGES[damage]
    file = tmp_path / "stays.csv"
    file.write_bytes(b"".join(line + b"\n" for line in damaged(stays_file.read_bytes().splitlines())))
    before = platform.objects("landing")
    line = platform.refused(WRITER, "data", "ingest", malformed, str(file))
    assert said in line
    assert platform.objects("landing") == before
    assert platform.objects("", ".partial") == []
    view = platform.dataset(malformed)
    assert (view["state"], view["landing"], view["versions"]) == ("declared", None, [])


def test_after_a_bad_file_the_good_one_lands_and_a_bad_one_does_not_take_its_place(
        platform: Platform, stays_file: Path, tmp_path: Path) -> None:
    platform.declare(declaration("second-try"))
    file = tmp_path / "stays.csv"
    file.write_bytes(stays_file.read_bytes() + b"a,b,c\n")
    ingest = ("data", "ingest", "second-try", str(file))
    platform.refused(WRITER, *ingest)
    file.write_bytes(stays_file.read_bytes())
    assert "rows are in quarantine" in platform.done(WRITER, *ingest)
    landed = platform.dataset("second-try")["landing"]
    file.write_bytes(stays_file.read_bytes().splitlines()[0])
    platform.refused(WRITER, *ingest)
    assert platform.dataset("second-try")["landing"] == landed
    assert len(platform.objects("landing", "raw")) >= 1


# Declarations


@pytest.mark.parametrize(("old", "new", "said"), [
    ("kind: Dataset", "kind: Dataset\n  name: [", "The declaration can't be read: line 2"),
    ("kind: Dataset", "kind: Datasets", "kind: 'Datasets' is not Dataset."),
    ("residency:", "resdency:", "residency is missing. Did you mean residency where resdency stands?"),
    ("region: keep", "region: kepe", "columns.region.action: 'kepe' is not known here. Did you mean keep?"),
    ("[birth_year, region]", "[birth_yaer, region]", "'birth_yaer' is not a column of the result."),
    ("mrn: {action: pseudonymise, as: subject}", "mrn: keep", "would show whom each row is about"),
    ("as: birth_year}", "as: region}", "columns.region: 'region' is the name of date_of_birth's result already."),
    ("note: drop", "name: keep", "'name' stands twice"),
])
def test_a_wrong_declaration_names_the_field_and_declares_nothing(
        platform: Platform, tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "dataset.yaml"
    file.write_text(declaration("never-declared").replace(old, new, 1))
    line = platform.refused(STEWARD, "data", "declare", str(file))
    assert said in line
    with platform.client(STEWARD) as steward:
        assert "never-declared" not in {view["name"] for view in steward.datasets()}


def test_a_declaration_that_names_an_unknown_column_is_told_so_and_can_be_corrected(
        platform: Platform, stays_file: Path, tmp_path: Path) -> None:
    platform.declare(declaration("misdeclared", ("region: keep", "regoin: {action: keep, as: region}")))
    ingest = ("data", "ingest", "misdeclared", str(stays_file))
    assert platform.refused(WRITER, *ingest) == "There is no column 'regoin' in the data. Did you mean 'region'?"
    file = tmp_path / "dataset.yaml"
    file.write_text(declaration("misdeclared"))
    assert "ringfence data ingest misdeclared" in platform.done(STEWARD, "data", "declare", str(file))
    platform.done(WRITER, *ingest)


def test_a_column_of_pii_that_is_declared_keep_refuses_the_release_until_the_declaration_is_corrected(
        platform: Platform, stays_file: Path, tmp_path: Path) -> None:
    platform.declare(declaration("kept", ("email: drop", "email: keep")))
    platform.land("kept", stays_file)
    processing = platform.objects("processing")
    line = platform.refused(STEWARD, "data", "release", "kept")
    assert re.match(r"Column 'email' is declared 'keep', but identifies people: EMAIL .* Declare it `drop`", line)
    assert platform.objects("processing") == processing
    view = platform.dataset("kept")
    assert (view["state"], view["versions"]) == ("refused", [])
    assert "email" in view["refusal"]

    corrected = tmp_path / "dataset.yaml"
    corrected.write_text(declaration("kept"))
    assert "ringfence data release kept" in platform.done(STEWARD, "data", "declare", str(corrected))
    platform.done(STEWARD, "data", "release", "kept")
    assert platform.dataset("kept")["versions"][-1]["columns_removed"] == [
        "name", "ssn", "address", "phone", "email", "note"]
    declared = platform.trail(action="dataset.declare", resource="kept", outcome="done")
    assert len({record["details"]["declaration"] for record in declared}) == 2


def test_a_column_of_pii_that_the_declaration_forgot_is_dropped_and_listed(
        platform: Platform, stays_file: Path) -> None:
    forgotten = [(f"  {name}: drop\n", "") for name in ("name", "ssn", "phone", "email")]
    platform.declare(declaration("forgotten", *forgotten))
    platform.land("forgotten", stays_file)
    platform.done(STEWARD, "data", "release", "forgotten")
    version = platform.dataset("forgotten")["versions"][-1]
    assert {"name", "ssn", "phone", "email", "note", "address"} == set(version["columns_removed"])
    assert [column["name"] for column in version["columns"]] == [
        "subject", "stay", "birth_year", "region", "step", "state", "action", "next_state", "reward"]


def test_steps_out_of_order_say_what_comes_first(platform: Platform, stays_file: Path) -> None:
    platform.declare(declaration("unordered"))
    assert "ringfence data ingest" in platform.refused(STEWARD, "data", "classify", "unordered")
    platform.done(WRITER, "data", "ingest", "unordered", str(stays_file))
    assert "ringfence data classify" in platform.refused(STEWARD, "data", "release", "unordered")


# Specifications


def specification(*changes: tuple[str, str]) -> str:
    text = (EXAMPLE / "runs" / "offline.yaml").read_text().partition("evaluation:")[0]
    for old, new in (("dataset: icu-stays", f"dataset: {RELEASED}"), *changes):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize(("old", "new", "said"), [
    ("kind: TrainingRun", "kind: TrainingRun\n  name: [", "The spec can't be read: line 2"),
    ("seed: 11", "sede: 11", "seed is missing. Did you mean seed where sede stands?"),
    ("seed: 11", "seed: eleven", "seed: 'eleven' is not a whole number that fits."),
    ("learner:", "learner:\n  algoritm: x", "learner.algoritm: 'algoritm' is not a field here."),
    ("pessimistic-value-iteration", "pessimistic-value-iterations", "Did you mean pessimistic-value-iteration?"),
    (f"dataset: {RELEASED}", "dataset: styas", "There is no dataset 'styas'. `ringfence data list` shows those"),
    (f"dataset: {RELEASED}", f"dataset: {RELEASED}@9", "There is no released version stays@9."),
    ("reward: reward", "reward: rewards", "data.columns.reward: 'rewards' is no column of stays@1. Did you mean"),
    ("purpose: sepsis-treatment", "purpose: ads", "data.purpose: 'ads' is not what stays@1 was released for."),
    ("seed: 11", "seed: 11\nevaluation: {simulator: icu, episodes: 100}", "There is no admitted simulator icu."),
])
def test_a_wrong_specification_names_the_field_and_submits_nothing(
        released: Platform, tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(specification((old, new)))
    line = released.refused(SCIENTIST, "train", "submit", str(file))
    assert said in line
    with released.client(SCIENTIST) as scientist:
        assert not [run for run in scientist.runs() if run["name"] != "watched"]


def test_a_misspelt_hyperparameter_ends_the_run_with_the_nearest_name(released: Platform, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(specification(("penalty:", "penalti:"), ("name: icu-offline", "name: watched")))
    line = released.refused(SCIENTIST, "train", "submit", str(file), "--watch")
    assert line.endswith("pessimistic-value-iteration has no hyperparameter penalti. Did you mean penalty?")


# One line, whatever the command


COMMANDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no such file": (WRITER, ("data", "ingest", "x", "/nowhere.csv"), "/nowhere.csv can't be read: No such file"),
    "a folder for a file": (STEWARD, ("data", "declare", "/"), "/ can't be read: Is a directory"),
    "bytes for a text": (STEWARD, ("data", "declare", sys.executable), "it is not UTF-8 text"),
    "no such dataset": (STEWARD, ("data", "show", "nothing"), "There is no dataset 'nothing'."),
    "a name that is none": (STEWARD, ("data", "show", "../etc/passwd"), "There is no"),
    "no simulator project": (SCIENTIST, ("sim", "build", "/"), "/ holds no simulator.yaml."),
    "no such run": (SCIENTIST, ("train", "watch", "run-nothing"), "There is no run run-nothing."),
    "no such model": (SCIENTIST, ("model", "show", "nothing@1"), "There is no model"),
    "a model without a version": (OFFICER, ("model", "download", "nothing"), "nothing names no version."),
    "no such endpoint": (CALLER, ("endpoint", "ask", "nothing", "1"), "There is no endpoint"),
    "an observation that is none": (CALLER, ("endpoint", "ask", "nothing", "one"), "observation is not JSON: 'one'."),
    "a policy that is none": (OFFICER, ("policy", "add", "p", str(EXAMPLE / "dataset.yaml")), "The policy is refused."),
    "a trail that is none": (OFFICER, ("audit", "verify", str(EXAMPLE / "dataset.yaml")), "record 1 can't be read"),
    "a package that is none": (OFFICER, ("model", "verify", str(EXAMPLE / "dataset.yaml")), "is not what was signed"),
    "no such context": (STEWARD, ("context", "use", "elsewhere"), "There is no context elsewhere."),
    "no such job to approve": (OFFICER, ("model", "approve", "promotion-nothing", "--reason", "x"), "There is no"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_every_error_is_one_line(platform: Platform, what: str) -> None:
    who, arguments, said = COMMANDS[what]
    finished = platform.run(who, *arguments)
    if "verify" in arguments:  # what a verifier found is its result, and stands on stdout
        assert finished.stdout
        finished.stdout = ""
    assert said in the_line(finished)


@pytest.mark.parametrize("what", ["no such file", "no such dataset"])
def test_the_trace_is_for_those_who_ask(platform: Platform, what: str) -> None:
    who, arguments, said = COMMANDS[what]
    for debugging in (("--debug", *arguments), (*arguments, "--debug")):
        finished = platform.run(who, *debugging)
        assert finished.returncode == 1
        assert finished.stderr.startswith("Traceback")
        assert said in finished.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [("up",), ("quickstart",)])
def test_a_home_that_is_a_file_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = Home(tmp_path / "home")
    home.path.write_text("mine")
    line = the_line(home.run(*command))
    assert str(home.path) in line
    assert home.path.read_text() == "mine"


def test_a_quickstart_in_a_real_home_is_refused(platform: Platform) -> None:
    line = the_line(platform.home.run("quickstart"))
    assert "holds files that no quickstart has made" in line
    assert "RINGFENCE_HOME" in line


# Ports, a second quickstart, Ctrl-C


def test_a_quickstart_names_a_port_in_use_a_second_one_waits_its_turn_and_ctrl_c_is_one_line(home: Home) -> None:
    small = ("--stays", "6000")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = the_line(home.run("quickstart", *small, "--port", port))
    assert line == f"Port {port} is used by another program. Choose another one with --port."
    assert holder(Layout(home.path).lock_file) is None

    first = home.start("quickstart", *small, "--port", free_port())
    until((home.path / "source").exists, first)
    assert "Another quickstart is running in" in the_line(home.run("quickstart", *small))
    os.killpg(first.pid, signal.SIGINT)
    output, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (130, f"{INTERRUPTED}\n")
    assert "1. Start" in output


def test_ctrl_c_while_a_file_is_parsed_leaves_a_job_that_the_same_command_finds(
        platform: Platform, stays_file: Path) -> None:
    platform.declare(declaration("interrupted"))
    ingest = ("data", "ingest", "interrupted", str(stays_file))
    before, asked = platform.objects("landing", "raw"), platform.served().count("GET /api/v1/jobs/")
    with paused(platform.worker()):
        process = platform.start(WRITER, *ingest)
        until(lambda: platform.served().count("GET /api/v1/jobs/") > asked, process)
        assert interrupted(process) == INTERRUPTED
    assert "rows are in quarantine" in platform.done(WRITER, *ingest)
    assert len(platform.objects("landing", "raw")) == len(before) + 1


def test_ctrl_c_while_a_run_is_watched_leaves_the_run_alone(released: Platform, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(specification(("name: icu-offline", "name: watched"), ("seed: 11", "seed: 12")))
    with released.client(SCIENTIST) as scientist:
        with paused(released.worker()):
            run = scientist.submit_run(file.read_text())["id"]
            process = released.start(SCIENTIST, "train", "watch", run)
            until(lambda: f"GET /api/v1/runs/{run}" in released.served(), process)
            assert interrupted(process) == INTERRUPTED
        released.done(SCIENTIST, "train", "watch", run)
        assert scientist.run(run)["state"] == "done"


def test_ctrl_c_while_the_platform_starts_lets_it_start(home: Home) -> None:
    port = free_port()
    process = home.start("up", "--port", port)
    until(lambda: holder(Layout(home.path).lock_file), process)
    assert interrupted(process) == INTERRUPTED
    assert home.json("up", "--port", port)["url"].endswith(port)


def test_ctrl_c_while_the_command_still_loads_is_one_line(tmp_path: Path) -> None:
    code = ("import os, signal, sys\n"
            "class Finder:\n"
            "    def find_spec(self, name, *rest):\n"
            "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Finder())\n"
            f"sys.argv = ['ringfence', 'data', 'list']\n"
            f"exec(open({RINGFENCE!r}).read())\n")
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
                              env=Home(tmp_path / "home").environment())
    assert the_line(finished, 130) == INTERRUPTED
