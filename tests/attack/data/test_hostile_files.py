"""Files that mean harm: they are refused, and neither the reader nor anything it says is the worse for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data_tasks import DataTasks, Refused

CANARY = "Zebulon Quartermain"


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(tasks: DataTasks, content: bytes) -> None:
    for task in ("data.parse", "data.classify", "data.read"):
        _, refusal = tasks.attempt(task, content, {"columns": ["a"]})
        assert refusal is None or refusal.code.startswith("data.")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 400))
def test_a_damaged_dataset_is_refused_and_not_misread(tasks: DataTasks, seed: int, cut: int) -> None:
    rows = "".join(f"p{place},{place}\n" for place in range(20))
    chance = random.Random(seed)
    damaged = bytearray(f"who,n\n{rows}".encode())
    for _ in range(3):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    content = bytes(damaged[: len(damaged) - cut])
    answer, refusal = tasks.attempt("data.source", content)
    if refusal:
        assert refusal.code in {"data.malformed", "data.empty"}
        return
    assert len({len(values) for values in answer["table"].values()}) == 1


def test_a_line_without_end_is_refused(tasks: DataTasks) -> None:
    with pytest.raises(Refused, match="a row is longer than 4 MiB") as refused:
        tasks.parse(b"a,b\n1,2\n3," + b"x" * (24 << 20))
    assert refused.value.value == "3"


def test_a_quote_that_swallows_the_file_is_refused(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.parse(b'a,b\n1,"' + b"2,3\n" * (6 << 20))
    assert (refused.value.code, refused.value.value) == ("data.malformed", "2")


def test_ten_thousand_columns_are_read(tasks: DataTasks) -> None:
    names = ",".join(f"c{place}" for place in range(10_000))
    row = ",".join(str(place) for place in range(10_000))
    content = f"{names}\n{row}\n{row}\n".encode()
    assert len(tasks.parse(content)["columns"]) == 10_000
    assert len(tasks.classify(content)) == 10_000


def test_more_columns_than_any_table_has_are_refused(tasks: DataTasks) -> None:
    with pytest.raises(Refused, match="columns, at most"):
        tasks.parse(",".join(f"c{place}" for place in range(20_000)).encode())


@pytest.mark.parametrize("content", [
    f"who,n\n{CANARY},1,2\n", f'who,n\n{CANARY},"1\n', f"who,n\n{CANARY},x\n", f"who,n\n{CANARY}\x00,1\n",
    f'who,n\n"{CANARY}"x,1\n', f"who,n\n{CANARY},99999999999999999999999\n"])
def test_what_is_said_of_a_bad_file_quotes_nothing_of_it(tasks: DataTasks, content: str) -> None:
    declaration = {"subject": "who", "columns": {"n": {"action": "keep", "type": "integer"}}, "anonymity": {
        "k": 1, "quasi_identifiers": []}}
    with pytest.raises(Refused) as refused:
        tasks.parse(content.encode(), declaration)
    said = refused.value.message + refused.value.fix + refused.value.field + refused.value.value
    assert CANARY not in said
    assert "Quartermain" not in said


@pytest.mark.parametrize("declared", ["who", "zebulon quartermaine"])
def test_a_first_line_that_is_a_persons_is_not_quoted(tasks: DataTasks, declared: str) -> None:
    """Seen broken: a file without a header had its first person's values listed as the columns there are."""
    declaration = {"subject": declared, "columns": {declared: "drop", "n": "keep"}, "anonymity": {
        "k": 1, "quasi_identifiers": []}}
    for task in ("data.parse", "data.deidentify"):
        _, refusal = tasks.attempt(task, f"{CANARY},7\nAda Lovelace,8\n".encode(), {"declaration": declaration})
        assert refusal is not None
        assert refusal.code == "data.no_header"
        assert CANARY not in refusal.message + refusal.fix + refusal.field + refusal.value


def test_a_crash_of_the_reader_quotes_nothing(tasks: DataTasks) -> None:
    """Findings of a shape that the task does not expect stand for any defect: the library's own words are kept back."""
    declaration = {"subject": "who", "columns": {"n": "keep"}, "anonymity": {"k": CANARY, "quasi_identifiers": []}}
    with pytest.raises(Refused) as refused:
        tasks.deidentify(f"who,n\n{CANARY},1\n".encode(), declaration)
    assert refused.value.code == "data.reader_failed"
    assert CANARY not in refused.value.message
    assert "ValueError" in refused.value.message


@pytest.mark.parametrize("formula", ["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3"])
def test_a_formula_is_a_text(tasks: DataTasks, formula: str) -> None:
    assert tasks.run("data.source", f"a,b\n{formula},1\n".encode())["table"]["a"] == [formula]


def test_a_separator_in_a_value_can_not_shift_a_name_into_a_kept_column(tasks: DataTasks) -> None:
    with pytest.raises(Refused, match="Line 3"):
        tasks.parse(f'who,ward\nann,"A"\nbob,B,{CANARY}\n'.encode())
