"""A served agent answers what it can and refuses the rest in words, whatever it is sent."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence_workload import agent as agents
from ringfence_workload import agent_runner
from ringfence_workload.learner.export import tabular_agent
from ringfence_workload.task import Job
from ringfence_workload.wire import memory
from ringfence_workload.wire.messages import Connection
from ringfence_workload.wire.spaces import Checker
from tests.unit.test_agent import ACTIONS, POINT, POLICY, STATES, loaded, network

TABLE = tabular_agent(POLICY, "deterministic", STATES, ACTIONS)


def ask(agent: agents.Agent, body: dict[str, Any]) -> dict[str, Any]:
    return agent_runner.answer(agent, body, Checker(agent.observation_space), np.random.default_rng(0))


def test_observations_are_answered_with_actions() -> None:
    assert ask(loaded(TABLE), {"observations": [0, 1, 2]}) == {"actions": [0, 1, 0]}


def test_a_network_answers_with_numbers() -> None:
    from ringfence_workload.learner.export import agent_files

    agent = loaded(agent_files(*network(POINT, ACTIONS)))
    answer = ask(agent, {"observations": [[0.5, 1], [2, 3]]})
    assert len(answer["actions"]) == 2 and set(answer["actions"]) <= {0, 1}


@pytest.mark.parametrize("given_", [None, [], "0", {"0": 1}, [[0]], [[0], [1, 2]], [None], [True], ["1"], [0.5], [1.0],
                                    [1e400], [2**80]])
def test_what_is_no_list_of_states_is_refused(given_: Any) -> None:
    assert ask(loaded(TABLE), {"observations": given_})["error"]["code"] == "observations.malformed"


@pytest.mark.parametrize("state", [-1, 3, 2**32, -2**63])
def test_a_state_outside_the_space_is_refused(state: int) -> None:
    assert ask(loaded(TABLE), {"observations": [0, state]})["error"]["code"] == "observations.outside_space"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_number_that_the_space_can_not_hold_is_refused(value: float) -> None:
    from ringfence_workload.learner.export import agent_files

    agent = loaded(agent_files(*network(POINT, ACTIONS)))
    assert ask(agent, {"observations": [[0.0, value]]})["error"]["code"] == "observations.outside_space"


def test_too_many_at_once_are_refused() -> None:
    assert ask(loaded(TABLE), {"observations": [0] * 4097})["error"]["code"] == "observations.too_many"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2))


@settings(max_examples=300, deadline=None)
@given(anything)
def test_whatever_comes_is_answered_in_json(body: Any) -> None:
    answer = ask(loaded(TABLE), {"observations": body})
    assert set(answer) in ({"actions"}, {"error"})
    json.dumps(answer, allow_nan=False)


def test_it_serves_request_after_request_and_ends_when_the_keeper_hangs_up() -> None:
    ours, theirs = (Connection(end) for end in socket.socketpair())
    inputs = {name: memory.sealed(data) for name, data in TABLE.items()}
    results: list[Any] = []
    served = threading.Thread(target=lambda: results.append(agent_runner.serve(Job("agent.serve", {}, inputs, theirs))))
    served.start()
    assert ours.receive(10).body == {"event": "ready", "values": {"observation_space": STATES, "action_space": ACTIONS}}
    for request, answer in (([1], [1]), ([9], None), ([0, 2], [0, 0])):
        ours.send({"observations": request})
        assert ours.receive(10).body.get("actions") == answer
    ours.close()
    served.join(10)
    assert not served.is_alive() and results[0].values == {"answered": 3}
    theirs.close()
    for descriptor in inputs.values():
        os.close(descriptor)
