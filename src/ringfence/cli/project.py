"""The simulator project that `ringfence sim init` writes."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from ringfence.errors import ConflictError, InvalidError

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def write_project(folder: Path, *, vector: bool) -> list[str]:
    """Write a working simulator project into a new folder, whole or not at all; return its files, sorted.

    The folder's name becomes the simulator's.

    Raises:
        InvalidError: the name can't be a simulator's, or the folder can't be made.
        ConflictError: there is something there already.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        raise InvalidError("simulator.name", f"{name!r} can't be a simulator's name.", field="name", value=name[:80],
                           fix="Use lower-case letters, digits and hyphens, a letter first: ward-beds.")
    if folder.exists():
        raise ConflictError("simulator.folder_taken", f"{folder} is there already.", field="name", value=str(folder),
                            fix="Choose another name, or remove it.")
    files = _files(name, vector)
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            for file, text in files.items():
                (unfinished / file).parent.mkdir(exist_ok=True)
                (unfinished / file).write_text(text)
            unfinished.chmod(0o755)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise InvalidError("file.unwritable", f"{folder} can't be written: {error.strerror or error}.", field="name",
                           value=str(folder), fix="Choose a folder that you may write.") from error
    return sorted(files)


def _files(name: str, vector: bool) -> dict[str, str]:
    module, own = name.replace("-", "_") + "_sim", "vector" if vector else "single"
    values = {"name": name, "module": module, "vector": str(vector).lower(),
              "kind": "a batched Gymnasium VectorEnv" if vector else "a Gymnasium Env"}
    places = {"simulator.yaml": "common/simulator.yaml", "README.md": "common/README.md",
              f"{module}.py": f"{own}/simulator.py", "tests/test_simulator.py": f"{own}/test_simulator.py"}
    return {file: (_TEMPLATES / f"{source}.txt").read_text().format(**values) for file, source in places.items()}
