"""The two files every learner hands back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence_workload.agent import DESCRIPTION, FORMAT, TENSORS


def agent_files(description: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, bytes]:
    """Return `agent.json` and `agent.safetensors`; the same agent gives the same bytes."""
    from safetensors.numpy import save

    body = {"format": FORMAT, **description}
    return {DESCRIPTION: (json.dumps(body, indent=2, sort_keys=True) + "\n").encode(),
            TENSORS: save({name: np.ascontiguousarray(tensor, np.float32) for name, tensor in sorted(tensors.items())})}


def tabular_agent(policy: NDArray[np.float64], mode: str, observation_space: Mapping[str, Any],
                  action_space: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of an agent that looks its action up in `policy`, (S, A) chances."""
    description = {"kind": "tabular", "mode": mode, "observation_space": dict(observation_space),
                   "action_space": dict(action_space)}
    return agent_files(description, {"policy": policy.astype(np.float32)})
