"""One served agent: a fence that answers over its control connection, started again when it dies."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ringfence.errors import UnavailableError, WorkloadError
from ringfence.sandbox.sandbox import FenceSpec, Limits, Sandbox, Workload
from ringfence.sandbox.tasks import start_service
from ringfence.serving.domain import Guard
from ringfence_workload.wire import memory
from ringfence_workload.wire.messages import PeerGoneError, PeerMisbehavedError

ANSWER_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
WEEK = 7 * 24 * 3600
LIMITS = Limits(memory=1 << 30, wall_seconds=float(WEEK), cpu_seconds=WEEK)


class ServedAgent:
    """An agent in its fence. Safe for many threads: one request at a time goes over its one connection.

    `files` fetches the verified agent.json and agent.safetensors each time a fence is started.
    """

    def __init__(self, sandbox: Sandbox, name: str, guard: Guard, files: Callable[[], Mapping[str, bytes]], *,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._sandbox, self._name, self._guard, self._files, self._clock = sandbox, name, guard, files, clock
        self._lock = threading.Lock()
        self._workload: Workload | None = None
        self._pause, self._not_before, self._closed = FIRST_PAUSE, 0.0, False

    def start(self) -> None:
        """Start the fence unless it is there.

        Raises:
            UnavailableError: it can't be started, or failed a moment ago.
        """
        with self._lock:
            self._alive()

    def ask(self, observations: Any) -> list[Any]:
        """Return one checked action for each observation.

        Raises:
            InvalidError: an observation is not in the space; it never reached the fence.
            UnavailableError: the agent died or did not answer; the next request starts it anew, after a pause that
                grows while it keeps failing.
            WorkloadError: it answered what it must not, and was ended.
        """
        checked = self._guard.require_observations(observations)
        with self._lock:
            workload = self._alive()
            try:
                answer = self._exchange(workload, checked)
                actions = self._guard.require_actions(answer.get("actions"), len(checked))
            except WorkloadError:
                self._end("it answered what it must not")
                raise
            except (PeerGoneError, PeerMisbehavedError, TimeoutError) as error:
                reason = self._end("it did not answer")
                raise UnavailableError("endpoint.down", f"The agent of {self._name} ended: {reason}.",
                                       fix="Ask again in a moment: it is started anew.") from error
            self._pause = FIRST_PAUSE
            return actions

    def close(self) -> None:
        """End the fence for good."""
        with self._lock:
            self._closed = True
            if self._workload is not None:
                self._end("its endpoint was closed")

    def _exchange(self, workload: Workload, observations: list[Any]) -> dict[str, Any]:
        workload.connection.send({"observations": observations}, timeout=ANSWER_SECONDS)
        message = workload.connection.receive(ANSWER_SECONDS)
        message.close()
        if isinstance(error := message.body.get("error"), dict):
            raise WorkloadError("endpoint.refused", str(error.get("message", "The agent refused the request."))[:400])
        return message.body

    def _alive(self) -> Workload:
        if self._workload is not None:
            try:
                reason = self._workload.wait(0).reason
            except TimeoutError:
                return self._workload
            self._end(reason)
        if self._closed:
            raise UnavailableError("endpoint.replaced", f"Another agent was deployed as {self._name} just now.",
                                   fix="Ask again.")
        if self._clock() < self._not_before:
            raise UnavailableError("endpoint.restarting", f"The agent of {self._name} failed a moment ago.",
                                   fix=f"Ask again in {self._not_before - self._clock():.0f} seconds.")
        self._workload = self._started()
        return self._workload

    def _started(self) -> Workload:
        # Counted as a failure until it has answered: one that dies at once is not started again and again.
        self._not_before = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        files = self._files()
        inputs = {name: memory.sealed(files[name], name) for name in ("agent.json", "agent.safetensors")}
        try:
            return start_service(self._sandbox, FenceSpec(f"endpoint-{self._name}", limits=LIMITS), "agent.serve", {},
                                 inputs)[0]
        except WorkloadError as error:
            raise UnavailableError("endpoint.down", f"The agent of {self._name} can't be started: {error.message}",
                                   fix="Deploy another version of the model.") from error
        finally:
            for descriptor in inputs.values():
                os.close(descriptor)

    def _end(self, reason: str) -> str:
        workload, self._workload = self._workload, None
        if workload is None:
            return reason
        ended = workload.kill(reason)
        workload.__exit__(None, None, None)
        return ended.reason
