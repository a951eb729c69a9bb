"""The rules: tokens, generalisation, k over distinct people, and what a declaration may not keep."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
from collections import defaultdict
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data_tasks import DataTasks, Refused

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NONE = {"sensitivity": "none", "type": "NUMERIC", "confidence": 0.9, "evidence": ""}


def table(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def declared(columns: dict[str, Any], k: int = 1, quasi: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    most = more.pop("max_suppressed_share", 1.0)
    return {"subject": "who", "columns": columns, **more,
            "anonymity": {"k": k, "quasi_identifiers": list(quasi), "max_suppressed_share": most}}


def harmless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, **NONE} for name in rows[0]]


def one(tasks: DataTasks, values: list[str], rule: dict[str, Any], key: bytes = KEY) -> list[Any]:
    """Apply one rule to one column, a subject a row, and return the result in the file's order."""
    rows = [{"who": f"p{place}", "place": place, "v": value} for place, value in enumerate(values)]
    declaration = declared({"v": {"as": "out", **rule}, "place": {"action": "keep", "type": "integer"}})
    made = tasks.deidentify(table(rows), declaration, harmless(rows), key)["table"]
    return [value for _, value in sorted(zip(made["place"], made["out"], strict=True))]


TEXTS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(TEXTS, min_size=1, max_size=8))
def test_a_token_is_the_keyed_hash_of_its_value_in_its_column(tasks: DataTasks, values: list[str]) -> None:
    made = one(tasks, values, {"action": "pseudonymise"})
    domain = hmac.digest(KEY, b"ringfence.token/1\0pseudonymise:out", hashlib.sha256)
    assert made == [hmac.digest(domain, value.encode(), hashlib.sha256)[:16].hex() for value in values]


@settings(max_examples=30, deadline=None)
@given(values=st.lists(TEXTS, min_size=1, max_size=8, unique=True), data=st.data())
def test_a_token_is_stable_in_its_scope_and_differs_outside(tasks: DataTasks, values: list[str], data: Any) -> None:
    made = dict(zip(values, one(tasks, values, {"action": "pseudonymise"}), strict=True))
    shuffled = data.draw(st.permutations(values))
    assert [made[value] for value in shuffled] == one(tasks, shuffled, {"action": "pseudonymise"})
    assert len(set(made.values())) == len(values)
    elsewhere = one(tasks, values, {"action": "pseudonymise"}, OTHER_KEY)
    assert not set(made.values()) & set(elsewhere)
    renamed = one(tasks, values, {"action": "hash"})
    assert not set(made.values()) & set(renamed)


def test_spaces_around_a_value_make_no_other_person(tasks: DataTasks) -> None:
    first, second = one(tasks, ["A1 ", " A1"], {"action": "pseudonymise"})
    assert first == second


def test_a_hash_can_not_be_linked_across_files(tasks: DataTasks) -> None:
    here, there = one(tasks, ["ann", "bob"], {"action": "hash"}), one(tasks, ["ann", "eve"], {"action": "hash"})
    assert here[0] != there[0]
    assert one(tasks, ["ann", "bob"], {"action": "hash"}) == here


@settings(max_examples=40, deadline=None)
@given(people=st.lists(st.text("abcdefghij", min_size=6, max_size=12), min_size=1, max_size=12, unique=True))
def test_no_value_of_the_result_is_an_identifier_of_the_file(tasks: DataTasks, people: list[str]) -> None:
    rows = [{"who": person, "mail": f"{person}@example.org", "visit": f"{person}-1", "x": place % 3}
            for place, person in enumerate(people)]
    made = tasks.deidentify(table(rows), declared({
        "who": {"action": "pseudonymise", "as": "subject"}, "visit": {"action": "hash", "as": "visit"}, "x": "keep"}),
        harmless(rows))
    raw = {str(value) for row in rows for name, value in row.items() if name != "x"}
    assert not raw & {str(value) for values in made["table"].values() for value in values}
    assert made["columns_removed"] == ["mail"]
    assert made["columns_undeclared"] == ["mail"]


@settings(max_examples=40, deadline=None)
@given(dates=st.lists(st.dates(date(1900, 1, 1), date(2100, 1, 1)), min_size=1, max_size=8),
       to=st.sampled_from(["year", "decade", "month"]))
def test_generalising_dates_is_monotone_and_loses_the_day(tasks: DataTasks, dates: list[Any], to: str) -> None:
    made = one(tasks, [day.isoformat() for day in dates], {"action": "generalise", "to": to})
    expected = {"year": lambda day: day.year, "decade": lambda day: day.year // 10 * 10,
                "month": lambda day: f"{day.year:04}-{day.month:02}"}[to]
    assert made == [expected(day) for day in dates]
    assert [value for _, value in sorted(zip(dates, made, strict=True))] == sorted(made)


@settings(max_examples=40, deadline=None)
@given(numbers=st.lists(st.integers(-10**9, 10**9), min_size=1, max_size=8), width=st.integers(1, 1000))
def test_generalising_numbers_stays_within_its_width(tasks: DataTasks, numbers: list[int], width: int) -> None:
    made = one(tasks, [str(number) for number in numbers], {"action": "generalise", "width": width})
    assert all(value % width == 0 and 0 <= number - value < width for number, value in zip(numbers, made, strict=True))


PEOPLE = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3), st.sampled_from("NS"), st.integers(0, 2)),
                  min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(people=PEOPLE, k=st.integers(1, 4), episodes=st.booleans())
def test_k_is_never_under_what_is_required_and_nothing_is_suppressed_in_vain(
        tasks: DataTasks, people: list[tuple[int, int, str, int]], k: int, episodes: bool) -> None:
    rows = [{"who": f"person {who}", "visit": f"{who}.{visit}", "year": 1950 + year, "region": region, "at": place}
            for place, (who, year, region, visit) in enumerate(people)]
    more = {"trajectory": {"episode": "visit"}} if episodes else {}
    declaration = declared({"year": "keep", "region": "keep", "at": {"action": "keep", "type": "integer"}}, k,
                           ("year", "region"), **more)
    kept = expected(rows, k, "visit" if episodes else "at")
    if not kept:
        with pytest.raises(Refused) as refused:
            tasks.deidentify(table(rows), declaration, harmless(rows))
        assert refused.value.code == "data.too_much_suppressed"
        return
    made = tasks.deidentify(table(rows), declaration, harmless(rows))
    assert sorted(made["table"]["at"]) == sorted(row["at"] for row in kept)
    sizes = {name: len(who) for name, who in classes(kept).items()}
    assert made["k"] == min(sizes.values()) >= k
    assert made["subjects"] == len({row["who"] for row in kept})
    assert made["suppressed_share"] == pytest.approx(1 - len(kept) / len(rows))
    everyone = len({row["who"] for row in rows})
    assert made["suppressed_subject_share"] == pytest.approx(1 - made["subjects"] / everyone)
    assert made["anonymity"]["worst_risk"] == pytest.approx(1 / made["k"])
    assert made["anonymity"]["average_risk"] == pytest.approx(len(sizes) / sum(sizes.values()))


def classes(rows: list[dict[str, Any]]) -> dict[tuple[Any, Any], set[str]]:
    found: dict[tuple[Any, Any], set[str]] = defaultdict(set)
    for row in rows:
        found[row["year"], row["region"]].add(row["who"])
    return found


def expected(rows: list[dict[str, Any]], k: int, whole: str) -> list[dict[str, Any]]:
    """The plain rule: remove what is in a small class, episodes as a whole, until nothing is left to remove."""
    while True:
        small = {name for name, who in classes(rows).items() if len(who) < k}
        gone = {row[whole] for row in rows if (row["year"], row["region"]) in small}
        if not gone:
            return rows
        rows = [row for row in rows if row[whole] not in gone]


def test_ten_rows_of_one_person_are_one_person(tasks: DataTasks) -> None:
    rows = [{"who": "ann", "region": "N"}] * 10 + [{"who": f"p{place}", "region": "S"} for place in range(5)]
    made = tasks.deidentify(table(rows), declared({"region": "keep"}, 5, ("region",)), harmless(rows))
    assert (made["rows_in"], made["rows"], made["k"], made["subjects"]) == (15, 5, 5, 5)
    assert made["anonymity"]["suppressed_rows"] == 10


def test_too_much_suppression_is_refused(tasks: DataTasks) -> None:
    rows = [{"who": f"p{place}", "region": "N" if place < 5 else f"S{place}"} for place in range(10)]
    with pytest.raises(Refused, match=r"50\.0% of the rows") as refused:
        tasks.deidentify(table(rows), declared({"region": "keep"}, 5, ("region",), max_suppressed_share=0.2),
                         harmless(rows))
    assert (refused.value.code, refused.value.field) == ("data.too_much_suppressed", "anonymity.max_suppressed_share")


def test_what_sequences_single_out_is_counted(tasks: DataTasks) -> None:
    steps = {"ann": "123", "bob": "123", "eve": "321", "joe": "12"}
    rows = [{"who": who, "visit": who, "t": 10 - place, "state": state}
            for who, states in steps.items() for place, state in enumerate(reversed(states))]
    made = tasks.deidentify(table(rows), declared({"state": "keep", "t": "keep"}, trajectory={
        "episode": "visit", "step": "t"}), harmless(rows))
    assert made["anonymity"]["trajectory"] == {"columns": ["state"], "subjects": 4, "singled_out": 2,
                                               "singled_out_share": 0.5}


def test_the_order_of_the_rows_says_nothing_of_the_file(tasks: DataTasks) -> None:
    rows = [{"who": f"p{place:03}", "x": place} for place in range(50)]
    declaration = declared({"who": {"action": "pseudonymise", "as": "subject"}, "x": {"action": "keep"}})
    forth = tasks.deidentify(table(rows), declaration, harmless(rows))
    back = tasks.deidentify(table(rows[::-1]), declaration, harmless(rows))
    assert forth["bytes"] == back["bytes"]
    assert forth["table"]["subject"] == sorted(forth["table"]["subject"])


def test_one_row_before_and_after_is_the_same_row(tasks: DataTasks) -> None:
    rows = [{"who": f"p{place}", "name": f"Name {place}", "born": f"195{place}-05-01"} for place in range(5)]
    made = tasks.deidentify(table(rows), declared({"born": {"action": "generalise", "to": "year"}}), harmless(rows))
    before, after = made["example"]["before"], made["example"]["after"]
    assert before in rows
    assert after == {"born": int(before["born"][:4])}


def finding(name: str, kind: str, sensitivity: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "sensitivity": sensitivity, "confidence": 0.9, "evidence": "the name says so"}


ROWS = [{"who": f"p{place}", "mail": f"a{place}@example.org", "born": f"19{50 + place}-01-02"} for place in range(9)]


@pytest.mark.parametrize("rule", ["keep", {"action": "keep", "type": "text"}, {"action": "suppress", "below": 1},
                                  {"action": "generalise", "width": 10}, {"action": "round", "digits": 0}])
def test_an_identifier_can_not_stay_readable(tasks: DataTasks, rule: Any) -> None:
    with pytest.raises(Refused) as refused:
        tasks.deidentify(table(ROWS), declared({"mail": rule}))
    assert (refused.value.code, refused.value.field, refused.value.value) == ("data.identifier_kept", "mail", "EMAIL")
    assert "mail" in refused.value.message
    assert "e-mail" in refused.value.message
    assert "drop" in refused.value.fix


def test_a_quasi_identifier_that_nobody_counts_is_refused(tasks: DataTasks) -> None:
    columns = {"born": {"action": "generalise", "to": "decade", "as": "decade"}}
    findings = [*harmless(ROWS)[:2], finding("born", "DATE_OF_BIRTH", "quasi_identifier")]
    with pytest.raises(Refused) as refused:
        tasks.deidentify(table(ROWS), declared(columns), findings)
    assert (refused.value.code, refused.value.field) == ("data.quasi_identifier_forgotten", "born")
    assert "decade" in refused.value.fix
    assert tasks.deidentify(table(ROWS), declared(columns, quasi=("decade",)), findings)["rows"] == 9


def test_what_was_not_classified_can_not_be_kept(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.deidentify(table(ROWS), declared({"born": "keep"}), [])
    assert refused.value.code == "data.not_classified"


@pytest.mark.parametrize(("rule", "values", "code"), [
    ({"action": "tokenise"}, ["x"], "data.rule_unsupported"), ({"action": "encrypt"}, ["x"], "data.rule_unsupported"),
    ({"action": "generalise"}, ["1"], "data.rule_unsupported"),
    ({"action": "generalise", "to": "year"}, ["soon"], "data.not_a_date"),
    ({"action": "generalise", "to": "year"}, ["2020-01-01", "never"], "data.not_a_date"),
    ({"action": "generalise", "to": "month"}, ["01/02/2020"], "data.date_ambiguous"),
    ({"action": "generalise", "width": 5}, ["many"], "data.not_a_number"),
    ({"action": "round", "digits": 1}, ["many"], "data.not_a_number"),
    ({"action": "keep", "type": "integer"}, ["1.5"], "data.type_mismatch"),
    ({"action": "keep", "type": "number"}, ["1", "inf"], "data.type_mismatch"),
    ({"action": "keep", "type": "integer"}, ["99999999999999999999"], "data.type_mismatch"),
])
def test_a_rule_that_can_not_be_done_says_so(tasks: DataTasks, rule: dict[str, Any], values: list[str],
                                             code: str) -> None:
    with pytest.raises(Refused) as refused:
        one(tasks, values, rule)
    assert (refused.value.code, refused.value.field) == (code, "v")
    assert refused.value.fix


@pytest.mark.parametrize(("rule", "values", "made"), [
    ({"action": "keep"}, ["1", "2"], [1, 2]), ({"action": "keep"}, ["1", "2.5"], [1.0, 2.5]),
    ({"action": "keep"}, ["1", "x"], ["1", "x"]), ({"action": "keep", "type": "text"}, ["1", "2"], ["1", "2"]),
    ({"action": "keep", "type": "number"}, ["1", "NA"], [1.0, None]),
    ({"action": "keep"}, ["true", "False"], [True, False]),
    ({"action": "round", "digits": 1}, ["1.26", "-0.31"], [1.3, -0.3]),
    ({"action": "generalise", "to": "month", "format": "%d/%m/%Y"}, ["01/02/2020"], ["2020-02"]),
    ({"action": "generalise", "to": "year"}, ["01/02/2020", ""], [2020, None]),
    ({"action": "generalise", "width": 0.5}, ["1.26", "-0.1"], [1.0, -0.5]),
    ({"action": "suppress", "below": 2}, ["a", "a", "b"], ["a", "a", None]),
])
def test_rules_do_what_they_say(tasks: DataTasks, rule: dict[str, Any], values: list[str], made: list[Any]) -> None:
    assert one(tasks, values, rule) == pytest.approx(made) if isinstance(made[0], float) else one(
        tasks, values, rule) == made


def test_a_row_without_a_subject_is_refused(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.deidentify(b'who,x\nann,1\n" ",2\n', declared({"x": "keep"}))
    assert (refused.value.code, refused.value.field, refused.value.value) == ("data.subject_missing", "who", "line 3")


def test_a_key_of_the_wrong_length_is_refused(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.deidentify(table(ROWS), declared({"who": "pseudonymise"}), harmless(ROWS), b"short")
    assert refused.value.code == "data.no_key"


def test_only_the_named_columns_are_read(tasks: DataTasks) -> None:
    columns = {"who": "pseudonymise", "born": "keep", "mail": "hash"}
    made = tasks.deidentify(table(ROWS), declared(columns), harmless(ROWS))
    parquet = base64.b64decode(made["bytes"])
    answer = tasks.run("data.read", parquet, {"columns": ["born", "who"]})
    assert list(answer["table"]) == ["born", "who"]
    assert answer["table"]["who"] == made["table"]["who"]
    assert base64.b64decode(answer["bytes"])[:6] == b"ARROW1"
    with pytest.raises(Refused) as refused:
        tasks.run("data.read", parquet, {"columns": ["whom"]})
    assert (refused.value.code, refused.value.value) == ("data.unknown_column", "who")
