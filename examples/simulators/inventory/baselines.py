"""Writes baselines/order-up-to: below REORDER units, order up to LEVEL. `python baselines.py`"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from inventory_sim import CAPACITY, MOST_ORDERED
from safetensors.numpy import save

REORDER, LEVEL = 9, 16
FOLDER = Path(__file__).with_name("baselines") / "order-up-to"


def order_up_to() -> np.ndarray:
    """Return the probability of each order (a row for each stock), float32."""
    stock = np.arange(CAPACITY + 1)
    orders = np.where(stock < REORDER, np.minimum(LEVEL - stock, MOST_ORDERED), 0)
    return np.eye(MOST_ORDERED + 1, dtype=np.float32)[orders]


def main() -> None:
    """Write agent.json and agent.safetensors."""
    table = order_up_to()
    about = {"format": "ringfence-agent/1", "kind": "tabular", "mode": "deterministic",
             "observation_space": {"type": "Discrete", "n": table.shape[0], "start": 0},
             "action_space": {"type": "Discrete", "n": table.shape[1], "start": 0}}
    (FOLDER / "agent.json").write_text(json.dumps(about, indent=1) + "\n")
    (FOLDER / "agent.safetensors").write_bytes(save({"policy": table}))


if __name__ == "__main__":
    main()
