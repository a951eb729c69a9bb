"""The example's own modules, importable as its scripts import each other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "icu_sepsis"


@pytest.fixture(scope="session")
def example() -> Iterator[SimpleNamespace]:
    """The folder, and its modules: mdp, people, generate, prepare, icu_sepsis_sim."""
    folders = [str(EXAMPLE), str(EXAMPLE / "simulator")]
    sys.path[:0] = folders
    modules: dict[str, ModuleType] = {name: importlib.import_module(name)
                                      for name in ("mdp", "people", "generate", "prepare", "icu_sepsis_sim")}
    yield SimpleNamespace(folder=EXAMPLE, **modules)
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture(scope="session")
def tables(example: SimpleNamespace) -> object:
    """The package's tables in compact form."""
    return example.mdp.load()


@pytest.fixture(scope="session")
def project(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared simulator project."""
    folder: Path = example.prepare.prepare(tmp_path_factory.mktemp("project") / "simulator")
    return folder
