"""Simulator bundles for tests: a project given as text, packed as the platform packs one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from ringfence_workload.wire import memory

MANIFEST = """kind: Simulator
name: {name}
version: 1.0.0
entry_point: "{entry_point}"
vector: {vector}
"""


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """Return a deterministic uncompressed tar of `files`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = files[name]
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def bundle(code: str, *, name: str = "tested", entry_point: str = "project:make", vector: bool = False) -> int:
    """Return a sealed descriptor of a bundle whose one module, `project`, is `code`."""
    manifest = MANIFEST.format(name=name, entry_point=entry_point, vector=str(vector).lower())
    return memory.sealed(packed({"simulator.yaml": manifest, "project.py": code}))


CARTPOLE = """
import gymnasium
def make():
    return gymnasium.make("CartPole-v1")
"""
CARTPOLE_BATCHED = """
import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
def make(num_envs):
    return gymnasium.make_vec("CartPole-v1", num_envs, vectorization_mode="sync",
                              vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP})
"""
