"""A checked CSV file, read column by column."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ringfence_workload.data.csv_check import Shape, check, line_of_row
from ringfence_workload.task import TaskError
from ringfence_workload.wire import memory

AT_ONCE = 256 << 20


@dataclass(frozen=True)
class Source:
    """A file that passed the check. Values are text; an empty value is null."""

    shape: Shape
    _data: memoryview
    _path: str

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read the named columns (default: all) as text, rows in the file's order.

        Raises:
            TaskError: `data.malformed`, where the reader disagrees with the check.
        """
        wanted = list(self.shape.columns if columns is None else columns)
        try:
            frame = self._scan().select(wanted).collect()
        except pl.exceptions.PolarsError:
            raise _disagrees() from None
        if frame.height != self.shape.rows:
            raise _disagrees()
        return frame.with_columns(pl.all().replace("", None))

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_csv(self._path, separator=self.shape.delimiter, infer_schema=False, raise_if_empty=False)

    def groups(self) -> Iterator[pl.DataFrame]:
        """Read every column once, as many at a time as `AT_ONCE` bytes of the file allow."""
        width = len(self.shape.columns)
        count = max(1, min(width, width * AT_ONCE // max(1, len(self._data))))
        for start in range(0, width, count):
            yield self.frame(self.shape.columns[start : start + count])

    def row(self, row: int) -> dict[str, str | None]:
        """Return one data row (0: the first after the header), as text."""
        return dict(self._scan().slice(row, 1).collect().row(0, named=True))

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the file's bytes."""
        return hashlib.sha256(self._data).digest()

    def line(self, row: int) -> int:
        """Return the line of the file at which data row `row` begins."""
        return line_of_row(self._data, row)


def _disagrees() -> TaskError:
    return TaskError("data.malformed", "The file can't be read as one table.",
                     fix="Save it as plain CSV: UTF-8, one header line, one row a line.")


@contextmanager
def opened(descriptor: int) -> Iterator[Source]:
    """Check the CSV file in an immutable memory file and open it.

    Raises:
        TaskError: as `csv_check.check`.
        NotSealedError: the descriptor is no sealed memory file.
    """
    with memory.mapped(descriptor) as view:
        yield Source(check(view), view, f"/proc/self/fd/{descriptor}")


@contextmanager
def opened_file(path: Path) -> Iterator[Source]:
    """Check a CSV file of this machine and open it.

    Raises:
        TaskError: as `csv_check.check`.
        OSError: the file can't be opened.
    """
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            check(memoryview(b""))
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as block, memoryview(block) as view:
            yield Source(check(view), view, str(path))
