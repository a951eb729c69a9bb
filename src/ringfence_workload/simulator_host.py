"""Serves one simulator bundle, someone else's code: it runs nowhere but inside a fence.

A bundle is an uncompressed tar of a simulator project: `simulator.yaml` and Python modules. A simulator is a
factory of a Gymnasium `Env`, hosted N times, or (`vector: true`) of a `VectorEnv` with SAME_STEP autoreset.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ringfence_workload.hosting import Hosted, host_many, host_vector
from ringfence_workload.task import Job, Result, TaskError
from ringfence_workload.wire import memory, spaces
from ringfence_workload.wire.channel import CLOSE, RESET, STEP, ChannelServer

PROJECT = Path("/tmp/simulator")  # noqa: S108 (the fence's own)
MAX_BUNDLE = 1 << 30


@dataclass(frozen=True)
class Project:
    """What `simulator.yaml` says."""

    name: str
    version: str
    entry_point: str
    vector: bool
    baselines: dict[str, str]
    licences: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


def serve(job: Job) -> Result:
    """Serve a bundle over the channel until the learner closes it."""
    project = unpack(job.inputs["bundle"])
    server = ChannelServer(job)
    with blamed("it was loaded"):
        hosted = host(project, server.layout.num_envs)
    if (hosted.observation, hosted.action) != (server.layout.observation, server.layout.action):
        raise TaskError("simulator.spaces_changed", "The simulator's spaces are not those that it was admitted with.",
                        fix="Build the simulator again.")
    job.ready({"name": project.name, "version": project.version})
    try:
        return Result({"steps": _serve(server, hosted)})
    except Exception as error:
        server.fail(f"{type(error).__name__}: {error}")
        raise


def _serve(server: ChannelServer, hosted: Hosted) -> int:
    steps, batch = 0, server.batch
    while True:
        command, seed = server.await_request()
        if command == STEP:
            hosted.step(server.actions(), batch)
            steps += 1
        elif command == RESET:
            hosted.reset(seed if seed >= 0 else None, batch)
        elif command == CLOSE:
            return steps
        else:
            raise ValueError(f"the learner sent command {command}, which the channel does not know")
        server.answer()


def unpack(bundle: int) -> Project:
    """Unpack a bundle into the fence's own /tmp and read its `simulator.yaml`.

    Raises:
        TaskError: `simulator.bundle_broken`, `simulator.manifest_wrong`.
    """
    try:
        data = io.BytesIO(memory.read_all(bundle, MAX_BUNDLE))
        with tarfile.open(fileobj=data, mode="r:") as archive:
            for member in archive:
                _extract(archive, member)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise TaskError("simulator.bundle_broken", f"The bundle can't be unpacked: {error}",
                        fix="Build it again.") from error
    return _project(PROJECT / "simulator.yaml")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Write one member below PROJECT. (`extractall(filter=)` is missing from the Python 3.11.2 of Debian 12.)"""
    place = PROJECT / member.name
    if not (member.isreg() or member.isdir()) or member.name.startswith("/") or ".." in place.parts:
        raise ValueError(f"{member.name[:200]!r} is not a plain file or folder of the project")
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    place.write_bytes(content.read() if content else b"")


def _project(path: Path) -> Project:
    body = _yaml(path)
    wrong = [key for key in ("name", "version", "entry_point") if not isinstance(body.get(key), str | int | float)]
    if wrong or body.get("kind") != "Simulator" or ":" not in str(body.get("entry_point")):
        raise TaskError("simulator.manifest_wrong", "simulator.yaml lacks or misstates something.",
                        field=", ".join(wrong) or "kind, entry_point",
                        fix="It needs kind: Simulator, name, version, entry_point: 'module:factory'.")
    baselines = body.get("baselines") or {}
    return Project(str(body["name"]), str(body["version"]), str(body["entry_point"]), body.get("vector") is True,
                   {str(name): str(folder) for name, folder in baselines.items()}, _texts(body, "licences"),
                   _texts(body, "requirements"))


def _texts(body: dict[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TaskError("simulator.manifest_wrong", f"{key} in simulator.yaml is not a list of texts.", field=key,
                        fix=f"Write it as {key}: [...].")
    return tuple(value)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise TaskError("simulator.manifest_wrong", f"simulator.yaml can't be read: {error}", field="simulator.yaml",
                        fix="Put a valid simulator.yaml at the top of the project.") from error
    return body if isinstance(body, dict) else {}


def host(project: Project, num_envs: int) -> Hosted:
    """Import the project's factory and put `num_envs` environments behind one face.

    Raises:
        TaskError: `simulator.entry_point_missing`, `simulator.space_unsupported`, `simulator.autoreset_unsupported`.
    """
    factory = factory_of(project)
    try:
        if project.vector:
            return host_vector(factory(num_envs), num_envs)
        return host_many([factory() for _ in range(num_envs)])
    except spaces.SpaceError as error:
        raise TaskError("simulator.space_unsupported", f"The simulator can't be hosted: {error}.",
                        fix="Flatten it with a wrapper from gymnasium.wrappers.") from error


def factory_of(project: Project) -> Callable[..., Any]:
    """Import what `entry_point` names.

    Raises:
        TaskError: `simulator.entry_point_missing`.
    """
    module, _, name = project.entry_point.partition(":")
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TaskError("simulator.entry_point_missing", f"The entry point can't be imported: {error}",
                        field="entry_point", value=project.entry_point[:200],
                        fix="Name a module of the project and a function in it: module:function.") from error
    if not callable(found):
        raise TaskError("simulator.entry_point_missing", "The entry point is not a function.", field="entry_point",
                        value=project.entry_point[:200], fix="Name a function that returns the environment.")
    return found  # type: ignore[no-any-return]


@contextlib.contextmanager
def blamed(when: str) -> Iterator[None]:
    """Turn whatever the simulator raises into an error that names it."""
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        raise TaskError("simulator.failed", f"The simulator failed when {when}: {type(error).__name__}: {error}"[:2000],
                        fix="Run it outside the platform first, with gymnasium.utils.env_checker.check_env.") from error
