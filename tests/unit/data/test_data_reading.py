"""A file is read exactly as RFC 4180 says, or refused with the line that is wrong."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data_tasks import DataTasks, Refused

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(
    st.lists(VALUES, min_size=width, max_size=width), min_size=0, max_size=6).map(lambda rows: (width, rows)))


def written(width: int, rows: list[list[str]], quoting: Any, terminator: str) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=quoting, lineterminator=terminator)
    writer.writerow([f"c{place}" for place in range(width)])
    writer.writerows(rows)
    return buffer.getvalue().encode()


@settings(max_examples=150, deadline=None)
@given(table=TABLES, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
       terminator=st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_what_is_read(tasks: DataTasks, table: tuple[int, list[list[str]]], quoting: Any,
                                          terminator: str) -> None:
    width, rows = table
    if quoting == csv.QUOTE_MINIMAL:  # a writer leaves a lone carriage return, which we refuse, unquoted
        rows = [[value.replace("\r", " ") for value in row] for row in rows]
    read = tasks.run("data.source", written(width, rows, quoting, terminator))["table"]
    expected = {f"c{place}": [row[place] or None for row in rows] for place in range(width)}
    assert read == expected


@settings(max_examples=150, deadline=None)
@given(content=st.text(st.sampled_from('a,";\n\r é\t'), max_size=30))
def test_any_text_is_read_as_the_strict_reader_of_python_does_or_refused(tasks: DataTasks, content: str) -> None:
    source = "c0,c1\n" + content
    read, refusal = tasks.attempt("data.source", source.encode())
    if refusal:
        assert refusal.code == "data.malformed"
        return
    read = read["table"]
    rows = list(csv.reader(io.StringIO(source, newline=""), strict=True))
    assert all(len(row) == 2 for row in rows)
    assert list(zip(read["c0"], read["c1"], strict=True)) == [(row[0] or None, row[1] or None) for row in rows[1:]]


def test_the_line_of_a_row_counts_the_lines_inside_values(tasks: DataTasks) -> None:
    answer = tasks.run("data.source", b'a,b\n1,"x\ny"\n2,z\n"3\n\n",w\n4,v\n')
    assert answer["lines"] == [2, 4, 5, 8]


@pytest.mark.parametrize(("content", "line", "said"), [
    (b"a,b\n1,2\n3\n", 3, "1 values, the header names 2 columns"),
    (b"a,b\n1,2\n3,4,5\n", 3, "3 values, the header names 2 columns"),
    (b'a,b\n"1\n2",3\n4\n', 4, "1 values"),
    (b'a,b\n1,2\n3,4"5\n', 3, "a quote stands inside a value"),
    (b'a,b\n1,2"\n"3",4\n"5",6\n', 2, "a quote stands inside a value"),
    (b'a,b\n1,"2\n3,4\n', 2, "never closed"),
    (b'a,b\n1,"2\n"3",4\n"5",6\n', 2, "opened here, and not closed as it should be"),
    (b'a,b\n1,2\n3,"4"5\n', 3, "a quote stands inside a value"),
    (b'a,b\n1,"x"a\n', 2, "a quote stands inside a value"),
    (b'a,b\n1,"x" \n', 2, "a quote stands inside a value"),
    (b'a,b\n1,x"2"\n', 2, "a quote stands inside a value"),
    (b"a,b\n1,2\n3,\x004\n", 3, "NUL"),
    (b"a,b\n1,2\n3,\xff\n", 3, "UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), 1, "NUL"),
    (b"a,b\n1,2\r3,4\n", 2, "carriage return"),
    (b"a,b\n1,2\n\n3,4\n", 3, "1 values"),
    (b"a,a\n1,2\n", 1, "same name"),
    (b"a,\n1,2\n", 1, "no name"),
    (b"a, b\n1,2\n", 1, "space"),
    (b"a,\x1b[31mb\n1,2\n", 1, "control"),
    (b"\n1\n", 1, "blank"),
    (b"a," + b"x" * 300 + b"\n1,2\n", 1, "200"),
])
def test_a_malformed_file_is_refused_at_its_line(tasks: DataTasks, content: bytes, line: int, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        tasks.parse(content)
    assert (refused.value.code, refused.value.field, refused.value.value) == ("data.malformed", "line", str(line))
    assert refused.value.message.startswith(f"Line {line}:")
    assert refused.value.fix


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tasks: DataTasks, content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        tasks.parse(content)
    assert refused.value.code == "data.empty"


def test_a_header_alone_has_no_rows(tasks: DataTasks) -> None:
    assert tasks.parse(b"a,b") == {"rows": 0, "delimiter": ",", "columns": [
        {"name": "a", "type": "empty"}, {"name": "b", "type": "empty"}]}


def test_a_byte_order_mark_and_other_delimiters_are_taken(tasks: DataTasks) -> None:
    answer = tasks.parse("\ufeffa;b\n1;x,y\n".encode())
    assert answer["columns"] == [{"name": "a", "type": "integer"}, {"name": "b", "type": "text"}]
    assert answer["rows"] == 1


@pytest.mark.parametrize(("values", "kind"), [
    (["1", "-2", "NA"], "integer"), (["1", "2.5", "1e3", ""], "number"), (["true", "False"], "boolean"),
    (["2020-01-31", "1999-12-01"], "date"), (["31/01/2020"], "date"), (["20200131", "19991201"], "date"),
    (["2020-01-31T10:00:00", "2020-01-31T10:00:01"], "datetime"), (["1", "x"], "text"), (["", ""], "empty"),
    (["99991231", "12345678"], "integer"), (["2020-13-31"], "text"), (["12345678901234567890"], "number"),
])
def test_types_are_recognised_from_all_values(tasks: DataTasks, values: list[str], kind: str) -> None:
    rows = "".join(f"{value},.\n" for value in values)
    assert tasks.parse(f"a,b\n{rows}".encode())["columns"][0]["type"] == kind


def test_a_column_of_the_declaration_that_is_not_there_is_named_with_its_nearest(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.parse(b"region,mrn\nx,1\n", {"subject": "mrn", "columns": {"regoin": "keep"}})
    assert (refused.value.code, refused.value.field, refused.value.value) == ("data.unknown_column", "regoin", "region")
    assert "region" in refused.value.fix


@pytest.mark.parametrize("role", [{"subject": "nobody"}, {"subject": "a", "trajectory": {"episode": "nothing"}}])
def test_subject_and_trajectory_have_to_be_there_too(tasks: DataTasks, role: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        tasks.parse(b"a\n1\n", {"columns": {"a": "keep"}, **role})
    assert refused.value.code == "data.unknown_column"


def test_a_value_of_another_type_is_named_by_line_and_not_shown(tasks: DataTasks) -> None:
    with pytest.raises(Refused) as refused:
        tasks.parse(b'a,n\n"x\ny",1\nx,NA\nx,Jane Doe\n', {"subject": "a", "columns": {
            "n": {"action": "keep", "type": "integer"}}})
    assert (refused.value.code, refused.value.field, refused.value.value) == ("data.type_mismatch", "n", "line 5")
    assert "Jane" not in refused.value.message + refused.value.fix
