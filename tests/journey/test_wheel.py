"""What is built for others to install holds all that the platform needs: its rules, its word lists, its types."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ringfence.paths import default_policies
from ringfence.trust.policy.bundle import load

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
NEEDED = 77  # the first setuptools that understands `license = "Apache-2.0"`


def require_backend() -> None:
    found = importlib.metadata.version("setuptools") if importlib.util.find_spec("setuptools") else "0"
    if int(found.split(".")[0]) < NEEDED:
        pytest.skip(f"building without a network needs setuptools {NEEDED} in this environment; it has {found}")


def build(source: Path, into: Path) -> Path:
    """Build one wheel and return it."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", source, *OFFLINE, "-w", into], check=True,
                   capture_output=True, text=True, cwd=into.parent)
    (wheel,) = into.glob("ringfence-*.whl")
    return wheel


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build looks at, so that no build leaves anything in the checkout."""
    require_backend()
    copy = tmp_path_factory.mktemp("build") / "checkout"
    for folder in ("src", "policies"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return build(checkout, checkout.parent / "wheels")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.slow
def test_it_holds_every_file_of_the_packages_and_the_rules(checkout: Path, wheel: Path) -> None:
    expected = {f"ringfence/policies/{path.relative_to(checkout / 'policies').as_posix()}": path.read_bytes()
                for path in (checkout / "policies").rglob("*") if path.is_file()}
    expected |= {path.relative_to(checkout / "src").as_posix(): path.read_bytes()
                 for package in ("ringfence", "ringfence_workload") for path in (checkout / "src" / package).rglob("*")
                 if path.is_file() and "__pycache__" not in path.parts}
    found = contents(wheel)
    assert found == expected
    assert {"ringfence/py.typed", "ringfence_workload/py.typed", "ringfence/policies/roles/data.json"} <= set(found)


@pytest.mark.slow
def test_what_is_built_from_the_source_archive_is_the_same(checkout: Path, wheel: Path) -> None:
    code = "import setuptools.build_meta as backend; print(backend.build_sdist('dist'))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True, text=True)
    archive = checkout / "dist" / printed.stdout.split()[-1]
    assert contents(build(archive, checkout.parent / "from-archive")) == contents(wheel)


@pytest.mark.slow
def test_an_installed_copy_decides_by_the_rules_it_carries(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = ("from ringfence.paths import default_policies as folder; from ringfence.trust.policy.bundle import load; "
            "print(folder(), load(folder()).digest)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True,
                             cwd=tmp_path)
    folder, digest = printed.stdout.split()
    assert Path(folder) == tmp_path / "ringfence" / "policies"
    assert digest == load(default_policies()).digest == load(ROOT / "policies").digest
