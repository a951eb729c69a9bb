"""What goes wrong with a file is said without quoting it."""

from __future__ import annotations

import functools
import os
import traceback

from ringfence_workload.task import Job, Result, Task, TaskError
from ringfence_workload.wire.messages import PeerGoneError


def discreet(task: Task) -> Task:
    """Make a task that reads records keep silent about them, whatever fails.

    A library's error may quote the value it stumbled on (`could not parse 'Jane Doe'`), and so may what it prints.
    So its message is replaced by its kind and place, and the standard error is closed.
    """

    @functools.wraps(task)
    def run(job: Job) -> Result:
        _close_standard_error()
        try:
            return task(job)
        except (TaskError, PeerGoneError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic inside polars is no Exception
            raise TaskError("data.reader_failed", f"The reader failed ({_place(error)}).", field="file",
                            fix="Check that the file is what its first lines promise; if it is, report this as a "
                            "defect.") from None

    return run


def _close_standard_error() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _place(error: BaseException) -> str:
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "ringfence_workload" in frame.filename]
    place = f" at {os.path.basename(own[-1].filename)}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{place}"
