"""A host without a fence: the sandbox refuses, and never falls back to something weaker."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.errors import UnavailableError
from ringfence.sandbox import bwrap, seccomp
from ringfence.sandbox.sandbox import FenceSpec
from tests import fences


def test_without_any_bubblewrap_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bwrap, "candidates", list)
    with fences.sandbox(tmp_path) as opened:
        for ask in (opened.guarantees, lambda: opened.start(FenceSpec("x"))):
            with pytest.raises(UnavailableError) as caught:
                ask()
            assert caught.value.code == "sandbox.missing"


def test_a_bubblewrap_that_does_not_work_here_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = bwrap.candidates()
    broken = [Path("/nonexistent/bwrap"), Path("/usr/bin/false")]
    monkeypatch.setattr(bwrap, "candidates", lambda: [*broken, *working])
    with fences.sandbox(tmp_path) as opened:
        assert opened.guarantees()
        assert opened._bwrap in working


def test_only_broken_bubblewraps_are_refused_with_what_each_said(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bwrap, "candidates", lambda: [Path("/usr/bin/false"), Path("/nonexistent/bwrap")])
    with fences.sandbox(tmp_path) as opened, pytest.raises(UnavailableError) as caught:
        opened.guarantees()
    assert caught.value.code == "sandbox.refused"
    assert "/usr/bin/false" in caught.value.message and "/nonexistent/bwrap" in caught.value.message


def test_without_libseccomp_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> bytes:
        raise UnavailableError("sandbox.seccomp_missing", "no", fix="apt-get install libseccomp2")

    monkeypatch.setattr(seccomp, "program", missing)
    with fences.sandbox(tmp_path) as opened, pytest.raises(UnavailableError) as caught:
        opened.start(FenceSpec("x"))
    assert caught.value.code == "sandbox.seccomp_missing"


@pytest.mark.parametrize("call", ["mount", "ptrace", "bpf", "unshare", "setns", "keyctl", "perf_event_open",
                                  "userfaultfd", "init_module", "kexec_load", "process_vm_writev", "open_by_handle_at",
                                  "sched_setaffinity", "pivot_root", "chroot", "reboot", "swapon", "setuid", "mknod",
                                  "io_uring_enter", "pidfd_getfd", "fanotify_init", "add_key", "iopl", "acct",
                                  "quotactl"])
def test_no_call_that_reaches_beyond_the_fence_is_allowed(call: str) -> None:
    assert call not in seccomp.ALLOWED
