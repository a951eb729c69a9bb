"""A clinic so small that a whole run takes a second: three visits, and of two doses the second is always the better."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save

FIRST = ("Anna", "Boris", "Clara", "David", "Elena", "Frank", "Greta", "Hugo", "Irene", "James", "Maria", "Peter")
LAST = ("Adams", "Baker", "Cooper", "Fischer", "Garcia", "Hughes", "Jensen", "Lopez", "Meyer", "Novak", "Patel")
VISITS, DOSES = 3, 2

DECLARATION = """
kind: Dataset
name: visits
purpose: dosing
residency: on-premises
subject: health_number
trajectory: {episode: series}
anonymity: {k: 5, quasi_identifiers: [birth_decade], max_suppressed_share: 0.2}
columns:
  health_number: {action: pseudonymise, as: subject}
  series: {action: pseudonymise, as: stay}
  born: {action: generalise, to: decade, as: birth_decade}
  visit: {action: keep, type: integer}
  dose: {action: keep, type: integer}
  next_visit: {action: keep, type: integer}
  benefit: {action: keep, type: number}
"""

RUN = """
kind: TrainingRun
name: dosing
learner: {library: ringfence, algorithm: pessimistic-value-iteration}
data:
  dataset: visits
  purpose: dosing
  columns: {episode: stay, state: visit, action: dose, next_state: next_visit, reward: benefit}
seed: 5
"""

JUDGED = RUN + "evaluation: {simulator: clinic, episodes: 2000, agents: [random, clinicians]}\n"

PROJECT = """
import gymnasium

class Clinic(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.visit = 0
        return self.visit, {}

    def step(self, action):
        self.visit += 1
        return self.visit, float(action), self.visit == 3, False, {}

def make():
    return Clinic()
"""


def write_visits(path: Path, patients: int = 300) -> Path:
    """Write the clinic's raw records: doses at random, each worth what it is."""
    dice = random.Random(3)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["patient_name", "health_number", "born", "series", "visit", "dose", "next_visit", "benefit"])
        for patient in range(patients):
            name, number = f"{dice.choice(FIRST)} {dice.choice(LAST)}", f"HN{dice.randint(10**6, 10**7)}-{patient}"
            born = f"19{dice.randint(50, 89)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}"
            for visit in range(VISITS):
                dose = dice.randrange(DOSES)
                out.writerow([name, number, born, f"S{patient:05d}", visit, dose, visit + 1, float(dose)])
    return path


def write_simulator(folder: Path) -> Path:
    """Write the simulator project; its clinicians toss a coin."""
    baseline = folder / "baselines" / "clinicians"
    baseline.mkdir(parents=True)
    (folder / "simulator.yaml").write_text(
        "kind: Simulator\nname: clinic\nversion: 1.0.0\ndescription: Three visits.\nentry_point: clinic:make\n"
        "vector: false\nbaselines: {clinicians: baselines/clinicians}\nlicences: [Apache-2.0]\n")
    (folder / "clinic.py").write_text(PROJECT)
    (baseline / "agent.json").write_text(json.dumps({
        "format": "ringfence-agent/1", "kind": "tabular", "mode": "stochastic",
        "observation_space": {"type": "Discrete", "n": VISITS + 1, "start": 0},
        "action_space": {"type": "Discrete", "n": DOSES, "start": 0}}))
    policy = np.full((VISITS + 1, DOSES), 1 / DOSES, np.float32)
    (baseline / "agent.safetensors").write_bytes(save({"policy": policy}))
    return folder
