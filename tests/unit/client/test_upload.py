"""The bundle of a simulator project: the same bytes everywhere, and nothing from outside the folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.client.upload import file_parts, pack
from ringfence.errors import InvalidError

NAMES = st.text(st.characters(whitelist_categories=("Ll", "Lu", "Nd"), max_codepoint=0x2FF), min_size=1, max_size=40)


def project(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in {"simulator.yaml": b"kind: Simulator\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=6))
def test_the_order_and_the_times_of_the_files_do_not_matter(
        tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    first = project(tmp_path_factory.mktemp("a"), files)
    second = project(tmp_path_factory.mktemp("b"), dict(reversed(files.items())))
    for path in second.iterdir():
        os.utime(path, (1, 1))
    assert pack(first) == pack(second)


def test_members_are_sorted_with_owners_times_and_modes_levelled(tmp_path: Path) -> None:
    folder = project(tmp_path, {"b/inner.py": b"2", "a.py": b"1", "run.sh": b"3"})
    (folder / "run.sh").chmod(0o775)
    (folder / "a.py").chmod(0o600)
    with tarfile.open(fileobj=io.BytesIO(pack(folder))) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["a.py", "b", "b/inner.py", "run.sh", "simulator.yaml"]
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)}
    assert {member.name: member.mode for member in members} == {
        "a.py": 0o644, "b": 0o755, "b/inner.py": 0o644, "run.sh": 0o755, "simulator.yaml": 0o644}


def test_caches_and_history_are_left_out(tmp_path: Path) -> None:
    plain = pack(project(tmp_path / "plain", {"a.py": b"1"}))
    used = project(tmp_path / "used", {"a.py": b"1", ".git/config": b"x", "__pycache__/a.pyc": b"y",
                                       "deep/__pycache__/b.pyc": b"z"})
    (used / "deep" / "__pycache__" / "b.pyc").unlink()
    (used / "deep" / "__pycache__").rmdir()
    (used / "deep").rmdir()
    assert pack(used) == plain


@pytest.mark.parametrize("target", ["/etc/passwd", "a.py"])
def test_symbolic_links_are_refused_by_name(tmp_path: Path, target: str) -> None:
    folder = project(tmp_path, {"a.py": b"1"})
    (folder / "data.bin").symlink_to(target)
    with pytest.raises(InvalidError, match=r"data\.bin is a symbolic link"):
        pack(folder)


def test_a_link_to_a_folder_and_a_pipe_are_refused_too(tmp_path: Path) -> None:
    folder = project(tmp_path, {})
    (folder / "linked").symlink_to(tmp_path.parent, target_is_directory=True)
    with pytest.raises(InvalidError, match="linked is a symbolic link"):
        pack(folder)
    (folder / "linked").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidError, match="pipe is neither"):
        pack(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"no simulator\.yaml"):
        pack(tmp_path)


def test_parts_of_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert list(file_parts(tmp_path / "empty.csv")) == []
