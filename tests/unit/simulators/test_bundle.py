"""Packing a project: the same files give the same bytes, wherever, whenever and however they were written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.client.upload import pack
from ringfence.errors import InvalidError

FILES = {"simulator.yaml": b"kind: Simulator\n", "walk.py": b"x = 1\n", "data/levels.csv": b"1\n",
         "data/\xe4.txt": b"\xc3\xa4", "tests/test_walk.py": b""}


def project(folder: Path, files: Mapping[str, bytes], *, backwards: bool = False, mask: int = 0o022,
            when: float = 1e9) -> Path:
    old = os.umask(mask)
    try:
        for name in sorted(files, reverse=backwards):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
            os.utime(path, (when, when))
    finally:
        os.umask(old)
    return folder


def test_time_umask_path_and_order_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(project(tmp_path / "a", FILES))
    assert pack(project(tmp_path / "deep" / "ü b", FILES, backwards=True, mask=0o077, when=0)) == first
    assert pack(project(tmp_path / "c", FILES, mask=0, when=2e9)) == first
    monkeypatch.chdir(tmp_path / "a")
    assert pack(Path(".")) == first


def test_locale_process_and_hash_order_do_not_show(tmp_path: Path) -> None:
    folder = project(tmp_path, FILES)
    code = ("import hashlib, sys; from pathlib import Path; from ringfence.client.upload import pack; "
            "print(hashlib.sha256(pack(Path(sys.argv[1]))).hexdigest())")
    digests = {subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True,
                              env={"LC_ALL": locale, "PYTHONHASHSEED": seed, "TZ": zone,
                                   "PYTHONPATH": os.pathsep.join(sys.path)}).stdout.strip()
               for locale, seed, zone in (("C", "1", "UTC"), ("C.UTF-8", "2", "Asia/Tokyo"))}
    assert digests == {hashlib.sha256(pack(folder)).hexdigest()}


def test_what_tools_leave_behind_does_not_show(tmp_path: Path) -> None:
    first = pack(project(tmp_path, FILES))
    project(tmp_path, {"__pycache__/walk.cpython-311.pyc": b"x", ".git/HEAD": b"x", ".pytest_cache/v/x": b"x",
                       "data/.ipynb_checkpoints/a": b"x", ".venv/bin/python": b"x", ".DS_Store": b"x"})
    assert pack(tmp_path) == first


@pytest.mark.parametrize("change", [{"walk.py": b"x = 2\n"}, {"new.py": b""}, {"data/levels.csv": b"1\r\n"}])
def test_any_change_shows(tmp_path: Path, change: dict[str, bytes]) -> None:
    first = pack(project(tmp_path, FILES))
    assert pack(project(tmp_path, change)) != first


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.[a-z]{2}|\.[a-z]{2})", fullmatch=True),
                       st.binary(max_size=200), max_size=6))
def test_a_bundle_holds_the_project_and_nothing_of_the_machine(tmp_path_factory: pytest.TempPathFactory,
                                                               files: dict[str, bytes]) -> None:
    files = {"simulator.yaml": b"", **files}
    bundle = pack(project(tmp_path_factory.mktemp("any"), files))
    with tarfile.open(fileobj=BytesIO(bundle)) as archive:
        members = archive.getmembers()
        held = {member.name: archive.extractfile(member).read() for member in members  # type: ignore[union-attr]
                if member.isfile()}
    assert held == files
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "", "")}


def test_a_name_that_others_can_not_read_is_refused(tmp_path: Path) -> None:
    project(tmp_path, FILES)
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb"):
        pass
    with pytest.raises(InvalidError) as caught:
        pack(tmp_path)
    assert caught.value.code == "simulator.not_a_file"


def test_a_link_is_refused(tmp_path: Path) -> None:
    (project(tmp_path, FILES) / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidError):
        pack(tmp_path)
