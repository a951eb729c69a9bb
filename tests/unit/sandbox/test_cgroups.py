from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringfence.sandbox.cgroups import Cgroups, Group, Usage


def process(tmp_path: Path, groups: str, mounts: str) -> Path:
    """Lay out the two files of /proc/self that say where a process's groups are."""
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text(mounts.replace("ROOT", str(tmp_path)))
    return folder


def group(folder: Path, **files: str) -> Path:
    """Lay out a group's files, dots written as underscores."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


VERSION_2 = "30 1 0:2 / ROOT/unified rw - cgroup2 cgroup2 rw\n"
VERSION_1 = ("31 1 0:3 / ROOT/memory rw - cgroup cgroup rw,memory\n"
             "32 1 0:4 /docker/x ROOT/pids rw - cgroup cgroup rw,pids\n"
             "33 1 0:5 / ROOT/cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "34 1 0:2 / ROOT/unified rw - cgroup2 cgroup2 rw\n")


def test_version_2_with_delegated_controllers(tmp_path: Path) -> None:
    own = group(tmp_path / "unified/unit", cgroup_controllers="cpu memory pids\n", cgroup_procs="",
                cgroup_subtree_control="memory pids\n")
    cgroups = Cgroups(process(tmp_path, "0::/unit\n", VERSION_2))
    assert cgroups.enforced == {"memory", "pids"} and cgroups.why_not == ""
    made = cgroups.create(1 << 20, 5)
    assert [folder.parent for folder in made.folders] == [own]
    made.remove()
    assert not made.folders[0].exists()


def test_version_2_moves_its_processes_into_a_leaf_first(tmp_path: Path) -> None:
    own = group(tmp_path / "unified/unit", cgroup_controllers="memory pids\n", cgroup_subtree_control="\n",
                cgroup_procs="17\n")
    assert Cgroups(process(tmp_path, "0::/unit\n", VERSION_2)).why_not == ""
    assert (own / "ringfence-keeper/cgroup.procs").read_text() == "17"
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_version_2_that_is_not_ours_is_said_not_to_be_enforced(tmp_path: Path) -> None:
    own = group(tmp_path / "unified", cgroup_controllers="memory pids\n", cgroup_subtree_control="\n")
    (own / "ringfence-keeper").write_text("the leaf can't be made")
    cgroups = Cgroups(process(tmp_path, "0::/\n", VERSION_2))
    assert cgroups.enforced == frozenset()
    assert "can't be used" in cgroups.why_not
    assert cgroups.create(1 << 20, 5).folders == ()


def test_version_1_finds_each_controllers_own_group(tmp_path: Path) -> None:
    folders = [group(tmp_path / place) for place in ("memory/a/b", "pids", "cpuacct/c")]
    group(tmp_path / "unified", cgroup_controllers="hugetlb\n")
    cgroups = Cgroups(process(tmp_path, "9:memory:/a/b\n8:pids:/docker/x\n7:cpu,cpuacct:/c\n0::/\n", VERSION_1))
    assert cgroups.enforced == {"memory", "pids"}
    made = cgroups.create(1 << 20, 5)
    assert {folder.parent for folder in made.folders} == set(folders)
    made.remove()


def test_a_host_without_cgroups_enforces_nothing_and_says_why(tmp_path: Path) -> None:
    cgroups = Cgroups(process(tmp_path, "", ""))
    assert cgroups.enforced == frozenset()
    assert "memory and pids" in cgroups.why_not
    assert cgroups.create(1 << 20, 5).folders == ()


def test_what_a_dead_keeper_left_is_swept_and_what_a_living_one_has_is_kept(tmp_path: Path) -> None:
    own = group(tmp_path / "unified", cgroup_controllers="memory pids\n", cgroup_subtree_control="memory pids\n")
    for pid in (os.getpid(), 1 << 30):
        group(own / f"ringfence-{pid}-00000000")
    Cgroups(process(tmp_path, "0::/\n", VERSION_2))
    assert [folder.name for folder in own.glob("ringfence-*")] == [f"ringfence-{os.getpid()}-00000000"]


@pytest.mark.parametrize(("files", "usage"), [
    ({"cpu_stat": "usage_usec 1500000\nuser_usec 1\n", "memory_events": "low 0\noom 3\noom_kill 2\n",
      "pids_events": "max 4\n"}, Usage(1.5, 2, 4)),
    ({"cpuacct_usage": "2500000000\n", "memory_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
     Usage(2.5, 1, 0)),
    ({}, Usage(None, 0, 0)),
])
def test_counters_of_both_versions(tmp_path: Path, files: dict[str, str], usage: Usage) -> None:
    folder = group(tmp_path)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    assert Group((folder,)).usage() == usage
