"""Run a workload's one task, or start a service, and take nothing it says on trust."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ringfence.errors import UnavailableError, WorkloadError
from ringfence.sandbox.endings import NOT_SET_UP
from ringfence.sandbox.sandbox import Exit, FenceSpec, Inputs, OnEvent, Sandbox, TaskResult, Workload
from ringfence_workload.wire import memory
from ringfence_workload.wire.messages import Message, PeerGoneError, PeerMisbehavedError

# How often a waiting keeper asks whether it should stop, how long a workload may take over one message, and
# how long one that has handed in its result may take to end.
POLL_SECONDS, MESSAGE_SECONDS, END_SECONDS = 0.25, 30.0, 10.0
MAX_TEXT, MAX_NUMBER = 2000, 1e300
NO_INPUTS: Inputs = MappingProxyType({})


def run_task(sandbox: Sandbox, spec: FenceSpec, task: str, parameters: Mapping[str, Any],  # noqa: PLR0917
             inputs: Inputs = NO_INPUTS, on_event: OnEvent | None = None,
             should_stop: Callable[[], bool] | None = None) -> TaskResult:
    """Run `task` in a fresh fence to its end; return its values and sealed outputs (the caller closes them).

    `inputs` are descriptors of sealed memory, which stay the caller's. `on_event` gets each checked `progress`
    and `metric` event. `should_stop` is asked several times a second.

    Raises:
        WorkloadError: the task failed (its own code), `workload.died`, `workload.timeout`, `workload.stopped`,
            `workload.misbehaved`.
        UnavailableError: no fence, or the environment is not installed.
    """
    with sandbox.start(spec) as workload:
        _hand_over(workload, task, parameters, inputs)
        message = _await_final(workload, spec, on_event, should_stop, "result")
        try:
            outputs = _outputs(workload, message)
            ended = _let_end(workload)
        except BaseException:
            message.close()
            raise
        return TaskResult(_mapping(message.body, "values"), outputs, ended)


def start_service(sandbox: Sandbox, spec: FenceSpec, task: str, parameters: Mapping[str, Any],  # noqa: PLR0917
                  inputs: Inputs = NO_INPUTS, on_event: OnEvent | None = None) -> tuple[Workload, dict[str, Any]]:
    """Start `task` and return once it is ready: the workload, which the caller ends, and what it says of itself.

    Raises:
        WorkloadError, UnavailableError: as `run_task`.
    """
    workload = sandbox.start(spec)
    try:
        _hand_over(workload, task, parameters, inputs)
        message = _await_final(workload, spec, on_event, None, "ready")
        message.close()
        return workload, _mapping(message.body, "values")
    except BaseException:
        workload.__exit__(None, None, None)
        raise


def _hand_over(workload: Workload, task: str, parameters: Mapping[str, Any], inputs: Inputs) -> None:
    body = {"task": task, "parameters": dict(parameters), "inputs": list(inputs)}
    try:
        workload.connection.send(body, list(inputs.values()), MESSAGE_SECONDS)
    except TimeoutError as error:
        raise misbehaved(workload, "it did not take its job") from error
    except PeerGoneError as error:
        raise _died(workload) from error


def _await_final(workload: Workload, spec: FenceSpec, on_event: OnEvent | None,
                 should_stop: Callable[[], bool] | None, final: str) -> Message:
    patience = _Patience(workload, spec.limits.wall_seconds, should_stop)
    with _misbehaviour(workload):
        while True:
            message = patience.next()
            kind = message.body.get("event")
            if kind == final:
                return message
            message.close()
            if kind == "error":
                raise _reported(workload, message.body)
            event = _checked(message.body)
            if on_event:
                on_event(event)


@contextlib.contextmanager
def _misbehaviour(workload: Workload) -> Iterator[None]:
    try:
        yield
    except PeerMisbehavedError as error:
        raise misbehaved(workload, str(error)) from error
    except PeerGoneError as error:
        raise _died(workload) from error


class _Patience:
    """How long a keeper listens: to the deadline, or until it is asked to stop; a flood of messages changes nothing."""

    def __init__(self, workload: Workload, seconds: float, should_stop: Callable[[], bool] | None) -> None:
        self._workload, self._should_stop = workload, should_stop
        self._deadline, self._asked = time.monotonic() + seconds, 0.0
        self._poll = select.poll()
        self._poll.register(workload.connection.fileno(), select.POLLIN)

    def next(self) -> Message:
        self._check()
        while not self._poll.poll(POLL_SECONDS * 1000):
            self._check()
        try:
            return self._workload.connection.receive(MESSAGE_SECONDS)
        except TimeoutError as error:
            raise PeerMisbehavedError("it began a message and did not end it") from error

    def _check(self) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            ended = self._workload.kill("it ran longer than it may")
            raise WorkloadError("workload.timeout", f"The workload ran longer than it may: {ended.wall_seconds:.0f} s.",
                                fix="Give it more time (wall_seconds), or less to do.")
        if self._should_stop and now - self._asked >= POLL_SECONDS:
            self._asked = now
            if self._should_stop():
                self._workload.kill("it was asked to stop")
                raise WorkloadError("workload.stopped", "The workload was stopped before it had finished.")


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """Return a progress or metric event rebuilt from checked parts."""
    kind = body.get("event")
    if kind == "progress" and _number(body.get("share")) and isinstance(body.get("text"), str):
        return {"event": kind, "share": min(1.0, max(0.0, float(body["share"]))), "text": body["text"][:MAX_TEXT]}
    if kind == "metric" and _number(body.get("step")) and isinstance(body.get("values"), dict):
        values = {str(name)[:100]: float(value) for name, value in body["values"].items() if _number(value)}
        return {"event": kind, "step": int(body["step"]), "values": values}
    raise PeerMisbehavedError(f"it sent an event that the protocol does not know: {str(kind)[:100]!r}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER <= value <= MAX_NUMBER


def _mapping(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _outputs(workload: Workload, message: Message) -> dict[str, int]:
    names = message.body.get("outputs")
    try:
        if not isinstance(names, list) or len(set(map(str, names))) != len(message.descriptors):
            raise PeerMisbehavedError("its outputs and their names don't match")
        for descriptor in message.descriptors:
            memory.require_seals(descriptor)
    except (PeerMisbehavedError, memory.NotSealedError) as error:
        raise misbehaved(workload, str(error)) from error
    return dict(zip(map(str, names), message.descriptors, strict=True))


def _let_end(workload: Workload) -> Exit:
    try:
        return workload.wait(END_SECONDS)
    except TimeoutError:
        return workload.kill("it did not end after it had handed in its result")


def _reported(workload: Workload, body: dict[str, Any]) -> WorkloadError:
    ended = _let_end(workload)
    text = {key: str(body.get(key, ""))[:MAX_TEXT] for key in ("code", "message", "fix", "field", "value")}
    error = WorkloadError(text["code"] or "workload.failed", text["message"] or "The workload failed.",
                          fix=text["fix"], field=text["field"], value=text["value"])
    error.add_note(ended.log[-MAX_TEXT:])
    return error


def _died(workload: Workload) -> WorkloadError | UnavailableError:
    ended = _let_end(workload)
    if ended.reason.startswith(NOT_SET_UP):
        return UnavailableError("sandbox.failed", f"A workload could not be fenced: {ended.reason}.",
                                fix="Run `ringfence doctor`.")
    error = WorkloadError("workload.died", f"The workload ended without a result: {ended.reason}.")
    error.add_note(ended.log[-MAX_TEXT:])
    return error


def misbehaved(workload: Workload, what: str) -> WorkloadError:
    """End a workload that broke the protocol; return the error that says how."""
    workload.kill(f"it broke the protocol: {what}")
    return WorkloadError("workload.misbehaved", f"The workload broke the protocol: {what}.")


def close_outputs(result: TaskResult) -> None:
    """Close every output of a result."""
    for descriptor in result.outputs.values():
        os.close(descriptor)
