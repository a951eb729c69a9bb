"""A strict check of a CSV file (RFC 4180), vectorised, before any library reads it.

Lenient readers pad short rows, cut long ones and guess at stray quotes: rows then shift silently, and a name lands
in a column that is kept. So the whole file is checked first, in pieces of constant size, and refused at the first
line that is not what the header promises.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from ringfence_workload.task import TaskError

CHUNK = 8 << 20
MAX_ROW = 4 << 20
MAX_COLUMNS = 16_384
MAX_NAME = 200
DELIMITERS = b",;\t|"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13


@dataclass(frozen=True)
class Shape:
    """What a checked file holds: its columns' names in order, its data rows, and how fields are told apart."""

    columns: tuple[str, ...]
    rows: int
    delimiter: str


def malformed(message: str, line: int, fix: str = "Correct that line and ingest the file again.") -> TaskError:
    """Return the error that names the line; it never holds a value of the file."""
    return TaskError("data.malformed", f"Line {line:,}: {message}.", fix=fix, field="line", value=str(line))


def check(data: memoryview) -> Shape:
    """Check every byte of a CSV file and return its shape.

    Raises:
        TaskError: `data.malformed`, naming the line; `data.empty`, for a file without a header.
    """
    start = len(_BOM) if bytes(data[:3]) == _BOM else 0
    if len(data) == start:
        raise TaskError("data.empty", "The file is empty.", fix="Send a CSV file with a header line.")
    line, rows, delimiter = 1, 0, 0
    columns: tuple[str, ...] = ()
    while start < len(data):
        text = bytes(data[start : start + CHUNK])  # a copy: a view that an error keeps alive could not be unmapped
        piece = np.frombuffer(text, dtype=np.uint8)
        delimiter = delimiter or _delimiter(text)
        ends, cut = _row_ends(piece, start + len(piece) == len(data), line, delimiter)
        _check_text(text[:cut], line)
        _check_quotes(piece[:cut], delimiter, line)
        _check_returns(piece[:cut], line)
        if not columns:
            columns = _header(text[: int(ends[0])], chr(delimiter))
        _check_fields(piece[:cut], ends, delimiter, len(columns), line)
        rows += len(ends)
        line += int(np.count_nonzero(piece[:cut] == _NEWLINE))
        start += cut
    return Shape(columns, rows - 1, chr(delimiter))


def line_of_row(data: memoryview, row: int) -> int:
    """Return the line at which data row `row` (0: the first after the header) begins, in a checked file."""
    start, line, seen = 0, 1, 0
    while start < len(data):
        piece = np.frombuffer(bytes(data[start : start + CHUNK]), dtype=np.uint8)
        ends, cut = _row_ends(piece, start + len(piece) == len(data), line)
        if seen + len(ends) > row:
            return line + int(np.count_nonzero(piece[: ends[row - seen] + 1] == _NEWLINE))
        seen += len(ends)
        line += int(np.count_nonzero(piece[:cut] == _NEWLINE))
        start += cut
    return line


def _delimiter(start: bytes) -> int:
    header = start.split(b"\n", 1)[0]
    outside = b"".join(header.split(b'"')[0::2])
    return max(DELIMITERS, key=outside.count)


def _row_ends(piece: Any, last: bool, line: int, delimiter: int | None = None) -> tuple[Any, int]:
    """Return the index of each row's end in `piece`, and where the last whole row stops.

    A `delimiter` lets the error name the quote that was misplaced, not the one that was left over in the end.
    """
    newlines = np.flatnonzero(piece == _NEWLINE)
    quotes = np.flatnonzero(piece == _QUOTE)
    ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0] if len(quotes) else newlines
    cut = int(ends[-1]) + 1 if len(ends) else 0
    if last and cut < len(piece):
        if len(quotes) % 2:
            _check_quotes(piece, delimiter, line)
            raise malformed("a quoted value is opened here and never closed",
                            line + int(np.count_nonzero(piece[: quotes[-1]] == _NEWLINE)))
        ends, cut = np.append(ends, len(piece)), len(piece)
    widths = np.diff(ends, prepend=-1)
    if not cut or int(widths.max()) > MAX_ROW:
        _check_quotes(piece, delimiter, line)
        row = int(np.argmax(widths > MAX_ROW)) if cut else 0
        begin = int(ends[row - 1]) + 1 if row else 0
        raise malformed(f"a row is longer than {MAX_ROW >> 20} MiB",
                        line + int(np.count_nonzero(piece[:begin] == _NEWLINE)),
                        "Look for a quote that is opened and never closed.")
    return ends, cut


def _check_text(text: bytes, line: int) -> None:
    zero = text.find(0)
    if zero >= 0:
        raise malformed("a NUL byte stands where text should", line + text.count(b"\n", 0, zero),
                        "Save the file as UTF-8 text (UTF-16 and binary files are not read).")
    if text.isascii():
        return
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("a byte is not valid UTF-8", line + text.count(b"\n", 0, error.start),
                        "Save the file as UTF-8.") from None


def _check_quotes(piece: Any, delimiter: int | None, line: int) -> None:
    if delimiter is None:
        return
    quotes = np.flatnonzero(piece == _QUOTE)
    before = piece[np.maximum(quotes[0::2] - 1, 0)]
    opens = (quotes[0::2] == 0) | np.isin(before, (delimiter, _NEWLINE, _QUOTE))
    after = piece[np.minimum(quotes[1::2] + 1, len(piece) - 1)]
    closes = (quotes[1::2] == len(piece) - 1) | np.isin(after, (delimiter, _NEWLINE, _RETURN, _QUOTE))
    misplaced = np.concatenate((2 * np.flatnonzero(~opens), 2 * np.flatnonzero(~closes) + 1))
    if not len(misplaced):
        return
    first = int(misplaced.min())
    here = _line_at(piece, int(quotes[first]), line)
    begun = _line_at(piece, int(quotes[first - 1]), line) if first % 2 else here
    if begun != here:
        raise malformed("a quoted value is opened here, and not closed as it should be", begun)
    raise malformed("a quote stands inside a value", here,
                    'Put the whole value in quotes and double the quotes inside it ("").')


def _check_returns(piece: Any, line: int) -> None:
    quotes = np.flatnonzero(piece == _QUOTE)
    returns = np.flatnonzero(piece == _RETURN)
    if len(quotes):
        returns = returns[np.searchsorted(quotes, returns) % 2 == 0]
    followed = piece[np.minimum(returns + 1, len(piece) - 1)] == _NEWLINE
    if not followed.all():
        raise malformed("a carriage return stands without a line feed",
                        _line_at(piece, int(returns[np.argmin(followed)]), line),
                        "End lines with LF or CR LF, and quote values that hold a carriage return.")


def _check_fields(piece: Any, ends: Any, delimiter: int, expected: int, line: int) -> None:
    found = np.flatnonzero(piece == delimiter)
    quotes = np.flatnonzero(piece == _QUOTE)
    if len(quotes):
        found = found[np.searchsorted(quotes, found) % 2 == 0]
    fields = np.diff(np.searchsorted(found, ends), prepend=0) + 1
    wrong = fields != expected
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    begin = int(ends[row - 1]) + 1 if row else 0
    raise malformed(f"the row has {int(fields[row]):,} values, the header names {expected:,} columns",
                    _line_at(piece, begin, line))


def _line_at(piece: Any, position: int, line: int) -> int:
    return line + int(np.count_nonzero(piece[:position] == _NEWLINE))


def _header(row: bytes, delimiter: str) -> tuple[str, ...]:
    text = row.decode("utf-8").removesuffix("\r")
    csv.field_size_limit(MAX_ROW)
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    if len(names) > MAX_COLUMNS:
        raise malformed(f"the header names {len(names):,} columns, at most {MAX_COLUMNS:,} are read", 1)
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        problem = _name_problem(name, seen)
        if problem:
            raise malformed(f"column {position} {problem}", 1, "Give each column its own name in the first line.")
        seen.add(name)
    if not names:
        raise malformed("the header is blank", 1, "Name the columns in the first line.")
    return tuple(names)


def _name_problem(name: str, seen: set[str]) -> str:
    if not name.strip():
        return "has no name"
    if name != name.strip():
        return "has a name that begins or ends with a space"
    if len(name) > MAX_NAME:
        return f"has a name of more than {MAX_NAME} characters"
    if not name.isprintable():
        return "has a name with control characters"
    return "has the same name as an earlier one" if name in seen else ""
