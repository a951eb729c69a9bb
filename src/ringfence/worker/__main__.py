"""The worker process: does queued jobs until told to stop."""

from __future__ import annotations

import signal
import sys

from ringfence.app import build
from ringfence.settings import Settings, load
from ringfence.supervisor import child
from ringfence.supervisor.home import Home
from ringfence.worker.worker import Worker


def work(settings: Settings, reporter: child.Reporter) -> None:
    """Work until SIGTERM: the job in hand goes back into the queue."""
    platform = build(settings)
    platform.recover()
    worker = Worker(platform.queue, platform.handlers(), platform.identity, Home(settings.home).worker_lock_file,
                    lease_seconds=settings.worker.lease_seconds, poll_seconds=settings.worker.poll_seconds)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    reporter.tell("ready")
    try:
        worker.run()
    finally:
        platform.close()


def main() -> int:
    """Run the worker as a child of the supervisor."""
    settings = load()
    return child.run("worker", Home(settings.home).logs, lambda reporter: work(settings, reporter))


if __name__ == "__main__":
    sys.exit(main())
