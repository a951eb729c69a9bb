"""Runs the fenced half of the data domain in its interpreter, without a fence: fast enough to search."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import Any

from tests.fences import CHECKOUT, ENVIRONMENTS


class Refused(Exception):
    """The task's own refusal."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(error["message"])
        self.code, self.message, self.fix = error["code"], error["message"], error["fix"]
        self.field, self.value = error["field"], error["value"]


class DataTasks:
    """A process of the `base` environment that does one task after the other."""

    def __init__(self) -> None:
        environment = {"PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}", "POLARS_MAX_THREADS": "1",
                       "PATH": os.environ["PATH"]}
        self._process = subprocess.Popen([ENVIRONMENTS / "base/bin/python", "-m", "tests.data_tasks"], env=environment,
                                         cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, task: str, source: bytes, parameters: dict[str, Any] | None = None, key: bytes = b"k" * 32,
            ) -> dict[str, Any]:
        """Return the task's values, with its table (if it made one) as `table`: {column: [values]}."""
        assert self._process.stdin
        assert self._process.stdout
        question = {"task": task, "source": base64.b64encode(source).decode(), "parameters": parameters or {},
                    "key": key.hex()}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def attempt(self, task: str, source: bytes, parameters: dict[str, Any] | None = None,
                ) -> tuple[dict[str, Any], Refused | None]:
        """Return what `run` returns, or the refusal."""
        try:
            return self.run(task, source, parameters), None
        except Refused as refusal:
            return {}, refusal

    def parse(self, source: bytes, declaration: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.run("data.parse", source, {"declaration": declaration} if declaration else {})

    def classify(self, source: bytes) -> list[dict[str, Any]]:
        columns: list[dict[str, Any]] = self.run("data.classify", source)["columns"]
        return columns

    def deidentify(self, source: bytes, declaration: dict[str, Any], findings: list[dict[str, Any]] | None = None,
                   key: bytes = b"k" * 32) -> dict[str, Any]:
        found = self.classify(source) if findings is None else findings
        return self.run("data.deidentify", source, {"declaration": declaration, "findings": found}, key)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


def _serve() -> None:
    from ringfence_workload.task import TaskError

    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = _values(question)
        except TaskError as error:
            answer = {"error": {"code": error.code, "message": error.message, "fix": error.fix, "field": error.field,
                                "value": error.value}}
        print(json.dumps(answer, default=str), flush=True)


def _values(question: dict[str, Any]) -> dict[str, Any]:
    import importlib
    import socket

    from ringfence_workload.__main__ import TASKS
    from ringfence_workload.task import Job
    from ringfence_workload.wire import memory
    from ringfence_workload.wire.messages import Connection

    source = base64.b64decode(question["source"])
    if question["task"] == "data.source":
        return _read_back(source)
    inputs = {name: memory.sealed(content) for name, content in (
        ("source", source), ("parquet", source), ("keys", json.dumps({"scope": question["key"]}).encode()))}
    module, function = TASKS[question["task"]].split(":")
    ours, theirs = socket.socketpair()
    try:
        job = Job(question["task"], question["parameters"], inputs, Connection(ours))
        result = getattr(importlib.import_module(module), function)(job)
        return {**result.values, **_tables(result.outputs)}
    finally:
        ours.close()
        theirs.close()
        for descriptor in inputs.values():
            os.close(descriptor)


def _read_back(source: bytes) -> dict[str, Any]:
    """Return the table as the reader sees it, every value a text."""
    from ringfence_workload.data.source import opened
    from ringfence_workload.wire import memory

    descriptor = memory.sealed(source)
    try:
        with opened(descriptor) as file:
            return {"table": file.frame().to_dict(as_series=False),
                    "lines": [file.line(row) for row in range(file.shape.rows)]}
    finally:
        os.close(descriptor)


def _tables(outputs: dict[str, int]) -> dict[str, Any]:
    import io

    import polars

    from ringfence_workload.wire import memory

    readers = {"dataset.parquet": polars.read_parquet, "data.arrow": polars.read_ipc}
    answer = {}
    for name, descriptor in outputs.items():
        content = memory.read_all(descriptor, 1 << 30)
        os.close(descriptor)
        frame = readers[name](io.BytesIO(content))
        answer = {"table": frame.to_dict(as_series=False), "bytes": base64.b64encode(content).decode()}
    return answer


if __name__ == "__main__":
    _serve()
