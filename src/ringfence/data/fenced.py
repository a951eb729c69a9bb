"""The four tasks on data, each in a fence of its own: what goes in is sealed memory, what comes out is checked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ringfence.data.declaration import Declaration
from ringfence.data.domain import Finding, Measured, findings_from
from ringfence.errors import WorkloadError
from ringfence.jobs.domain import JobContext
from ringfence.sandbox.sandbox import FenceSpec, Inputs, Limits, Sandbox, TaskResult
from ringfence.sandbox.tasks import close_outputs, run_task
from ringfence_workload.wire import memory

# A column of text takes several times its size in the file while it is worked on.
LEAST_MEMORY, MEMORY_PER_BYTE = 2 << 30, 12
WALL_SECONDS = 1800.0
EXAMPLE_BYTES = 1 << 20


class FencedReader:
    """Runs the tasks. `source` is always the descriptor of a sealed memory file, which stays the caller's."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def parse(self, job: str, source: int, declaration: Declaration, context: JobContext,
              ) -> tuple[int, list[dict[str, str]]]:
        """Return the file's rows and its columns' names and types.

        Raises:
            WorkloadError: `data.malformed`, `data.unknown_column`, ... : see the task `data.parse`.
        """
        parameters = {"declaration": declaration.as_json()}
        with self._run(f"parse-{job}", "data.parse", parameters, {"source": source}, context) as result:
            rows, columns = result.values.get("rows"), result.values.get("columns")
        if type(rows) is not int or not isinstance(columns, list) or not all(map(_is_column, columns)):
            raise WorkloadError("data.bad_report", "The fenced reader's report can't be used.")
        return rows, [{"name": column["name"], "type": column["type"]} for column in columns]

    def classify(self, job: str, source: int, columns: Sequence[str], context: JobContext) -> tuple[Finding, ...]:
        """Return one finding for each of the file's columns."""
        with self._run(f"classify-{job}", "data.classify", {}, {"source": source}, context) as result:
            return findings_from(result.values.get("columns"), columns)

    @contextmanager
    def deidentified(self, job: str, source: int, *, scope_key: bytes, declaration: Declaration,
                     findings: Sequence[Finding], context: JobContext) -> Iterator[tuple[Measured, bytes, int]]:
        """Yield what was measured, one row before and after (JSON), and the descriptor of the Parquet file.

        Raises:
            WorkloadError: `data.identifier_kept`, `data.too_much_suppressed`, ... : see the task `data.deidentify`.
        """
        parameters = {"declaration": declaration.as_json(), "findings": [finding.as_json() for finding in findings]}
        keys = memory.sealed(json.dumps({"scope": scope_key.hex()}).encode(), "keys")
        try:
            inputs = {"source": source, "keys": keys}
            with self._run(f"deidentify-{job}", "data.deidentify", parameters, inputs, context) as result:
                raw = [finding.name for finding in findings]
                measured = Measured.from_report(result.values, declaration, raw)
                yield measured, _example(result.values), _output(result, "dataset.parquet")
        finally:
            os.close(keys)

    def read(self, name: str, parquet: int, columns: Sequence[str]) -> int:
        """Return the descriptor (the caller's) of a sealed Arrow IPC file with just these columns."""
        with self._run(f"read-{name}", "data.read", {"columns": list(columns)}, {"parquet": parquet}, None) as result:
            return os.dup(_output(result, "data.arrow"))

    @contextmanager
    def _run(self, name: str, task: str, parameters: Mapping[str, Any], inputs: Inputs, context: JobContext | None,
             ) -> Iterator[TaskResult]:
        size = max(os.fstat(descriptor).st_size for descriptor in inputs.values())
        limits = Limits(memory=LEAST_MEMORY + MEMORY_PER_BYTE * size, wall_seconds=WALL_SECONDS)

        def report(event: dict[str, Any]) -> None:
            if context and event["event"] == "progress":
                context.progress(0.1 + 0.8 * event["share"], event["text"])

        result = run_task(self._sandbox, FenceSpec(name, limits=limits), task, parameters, inputs, report,
                          context.should_stop if context else None)
        try:
            yield result
        finally:
            close_outputs(result)


def _is_column(column: object) -> bool:
    return isinstance(column, dict) and isinstance(column.get("name"), str) and isinstance(column.get("type"), str)


def _output(result: TaskResult, name: str) -> int:
    if name not in result.outputs:
        raise WorkloadError("data.bad_report", f"The fenced reader handed back no {name}.")
    return result.outputs[name]


def _example(values: Mapping[str, Any]) -> bytes:
    example = values.get("example")
    text = json.dumps(example if isinstance(example, dict) else {}).encode()
    return text if len(text) <= EXAMPLE_BYTES else b"{}"
