"""Entry of every fenced workload: `python -m ringfence_workload FD [LIFELINE]`, FD being the control connection."""

from __future__ import annotations

import importlib
import os
import resource
import select
import sys
import traceback

from ringfence_workload.task import Job, Result, Task, TaskError
from ringfence_workload.wire import memory
from ringfence_workload.wire.messages import Connection, PeerGoneError

# Names a task's module and function; only these can be asked for, and a module is imported only when it is.
TASKS = {
    "data.parse": "ringfence_workload.data.parse:parse",
    "data.classify": "ringfence_workload.data.classify:classify",
    "data.deidentify": "ringfence_workload.data.deidentify:deidentify",
    "data.read": "ringfence_workload.data.read:read",
    "simulator.scan": "ringfence_workload.scan.scanner:scan",
    "simulator.inspect": "ringfence_workload.simulator_check:inspect",
    "simulator.replay": "ringfence_workload.simulator_check:replay",
    "simulator.check": "ringfence_workload.simulator_check:check",
    "simulator.serve": "ringfence_workload.simulator_host:serve",
    "learn.offline": "ringfence_workload.learner.offline:learn",
    "learn.sb3": "ringfence_workload.learner.sb3:learn",
    "evaluate": "ringfence_workload.evaluator:evaluate",
    "agent.serve": "ringfence_workload.agent_runner:serve",
    "probe.egress": "ringfence_workload.prober:probe",
}


def main(descriptor: int, lifeline: int | None = None) -> int:
    """Run the one task that comes over `descriptor`; return the process's exit status."""
    if lifeline is not None and _orphaned(lifeline):
        return 3
    _limit_processes()
    connection = Connection.from_descriptor(descriptor)
    try:
        message = connection.receive()
        body = message.body
        job = Job(body["task"], body["parameters"], dict(zip(body["inputs"], message.descriptors, strict=True)),
                  connection)
        return _run(job)
    except PeerGoneError:
        return 3


def _orphaned(lifeline: int) -> bool:
    """Say whether the launcher, which alone holds the pipe's other end, is gone.

    bubblewrap asks to be killed with its parent, but not whether that parent still lives when it asks: one that
    died in that moment is noticed here, before any user's code runs.
    """
    poll = select.poll()
    poll.register(lifeline, 0)
    gone = bool(poll.poll(0))
    os.close(lifeline)
    return gone


def _limit_processes() -> None:
    """Take a limit that only holds when set inside the fence's user namespace, before any user's code runs."""
    limit = int(os.environ.pop("RINGFENCE_PROCESSES", "0"))
    if limit:
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))


def _run(job: Job) -> int:
    try:
        result = _load(job.task)(job)
    except TaskError as error:
        job.connection.send({"event": "error", "code": error.code, "message": error.message, "fix": error.fix,
                             "field": error.field, "value": error.value})
        return 2
    except PeerGoneError:
        raise
    except Exception as error:
        traceback.print_exc()
        job.connection.send({"event": "error", "code": "workload.failed", "fix": "", "field": "", "value": "",
                             "message": f"{type(error).__name__}: {error}"[:2000]})
        return 1
    _hand_back(job, result)
    return 0


def _load(task: str) -> Task:
    module, function = TASKS[task].split(":")
    loaded: Task = getattr(importlib.import_module(module), function)
    return loaded


def _hand_back(job: Job, result: Result) -> None:
    descriptors = [memory.sealed(output) if isinstance(output, bytes) else output
                   for output in result.outputs.values()]
    job.connection.send({"event": "result", "values": dict(result.values), "outputs": list(result.outputs)},
                        descriptors)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
