"""Both ends of a channel in one process, for tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ringfence_workload.task import Job
from ringfence_workload.wire import spaces
from ringfence_workload.wire.channel import ChannelClient, ChannelDescriptors, ChannelServer, create_channel, parameters
from ringfence_workload.wire.spaces import SpaceSpec

BOX = spaces.bounded("Box", (3,), "float32", -10.0, 10.0)
CHOICE = spaces.discrete(4)
NO_CONNECTION: Any = None


def job(descriptors: ChannelDescriptors, observation: SpaceSpec, action: SpaceSpec, num_envs: int) -> Job:
    """Return the job of either end."""
    return Job("tested", parameters(observation, action, num_envs), descriptors.inputs(), NO_CONNECTION)


@contextmanager
def served(behave: Callable[[ChannelServer], None], observation: SpaceSpec = BOX, action: SpaceSpec = CHOICE,
           num_envs: int = 4, deadline: float = 10.0) -> Iterator[tuple[ChannelClient, ChannelDescriptors]]:
    """Open a channel whose simulator is `behave`, in a thread of its own."""
    descriptors = create_channel(observation, action, num_envs)
    described = job(descriptors, observation, action, num_envs)
    thread = threading.Thread(target=behave, args=(ChannelServer(described),), daemon=True)
    client = ChannelClient.from_job(described, deadline=deadline)
    thread.start()
    try:
        yield client, descriptors
    finally:
        client.close()
        os.eventfd_write(descriptors.request, 1)
        thread.join(5)
        descriptors.close()
