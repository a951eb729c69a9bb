"""The task `data.read`: the trusted reader that opens only the granted columns of a dataset version."""

from __future__ import annotations

import os

import polars as pl

from ringfence_workload.data.discreet import discreet
from ringfence_workload.data.parse import unknown_column
from ringfence_workload.task import Job, Result
from ringfence_workload.wire import memory


@discreet
def read(job: Job) -> Result:
    """Copy the parameter `columns` of the Parquet file in the input `parquet` to an Arrow IPC file.

    Returns values {"rows", "columns": [name]} and the output `data.arrow`, uncompressed, one record batch, its columns
    in the order asked for.

    Raises:
        TaskError: `data.unknown_column`, for a column that the dataset version has not.
    """
    columns = list(dict.fromkeys(job.parameters["columns"]))
    descriptor = job.inputs["parquet"]
    memory.require_seals(descriptor)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        existing = pl.read_parquet_schema(file)
        for column in columns:
            if column not in existing:
                raise unknown_column(column, list(existing))
        file.seek(0)
        frame = pl.read_parquet(file, columns=columns, use_pyarrow=False).select(columns).rechunk()
    output = memory.create("data.arrow")
    with os.fdopen(os.dup(output), "wb") as file:
        frame.write_ipc(file, compression="uncompressed")
    return Result({"rows": frame.height, "columns": columns}, {"data.arrow": memory.seal(output)})
