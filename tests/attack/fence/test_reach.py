"""What a fence keeps its workload from, each shown to succeed outside first."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from tests import fences, unprivileged
from tests.attack.fence.attacks import EVERY, program

RUN_ALL = """
import json, os
from pathlib import Path
from tests import fences
fences.ENVIRONMENTS = Path(os.environ["ENVIRONMENTS"])
with fences.sandbox(Path(os.environ["STATE"])) as opened:
    print(json.dumps({name: fences.inside(opened, code).log for name, code in json.loads(ATTACKS).items()}))
"""


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("name", EVERY)
def test_an_attack_that_works_outside_is_stopped(name: str, fence: BubblewrapSandbox,
                                                 places: dict[str, object]) -> None:
    code = program(EVERY[name], **places)
    assert "REACHED" in fences.outside(code)
    ended = fences.inside(fence, code)
    assert "STOPPED" in ended.log
    assert "REACHED" not in ended.log


@pytest.mark.slow
def test_every_attack_is_stopped_for_an_ordinary_user(places: dict[str, object], tmp_path: Path) -> None:
    attacks = {name: program(body, **places) for name, body in EVERY.items()}
    done = unprivileged.run(RUN_ALL.replace("ATTACKS", repr(json.dumps(attacks))), tmp_path)
    assert done.returncode == 0, done.stderr
    logs = json.loads(done.stdout)
    assert set(logs) == set(attacks), done.stderr
    assert {name: log for name, log in logs.items() if "STOPPED" not in log or "REACHED" in log} == {}


def test_no_process_of_a_fence_is_root_on_the_host(fence: BubblewrapSandbox) -> None:
    with fences.running(fence, f"{fences.SAY_UP}\nimport time; time.sleep(60)") as workload:
        workload.connection.receive(20)
        pids = [workload.pid, *_descendants(workload.pid)]
        uids = {word for pid in pids for word in _status(pid, "Uid")}
        gids = {word for pid in pids for word in _status(pid, "Gid")}
        groups = {word for pid in pids for word in _status(pid, "Groups")}
        assert "0" not in uids | gids
        assert uids == {str(workload.uid)}
        if os.geteuid() == 0:
            assert gids == uids
            assert groups == set()
        assert len(pids) == 2
        for pid in pids:
            assert _status(pid, "CapEff") == _status(pid, "CapPrm") == _status(pid, "CapBnd") == ["0000000000000000"]
            assert _status(pid, "NoNewPrivs") == ["1"]
            assert _status(pid, "Seccomp") == ["2"]


@pytest.mark.usefixtures("as_root")
def test_a_closed_file_in_a_mounted_folder_is_unreadable(tmp_path: Path) -> None:
    """Seen broken elsewhere: with a user namespace alone, started as root, the host's uid stays 0."""
    version = next((fences.ENVIRONMENTS / "base/lib").iterdir()).name
    packages = tmp_path / f"environments/odd/lib/{version}/site-packages"
    packages.mkdir(parents=True)
    (tmp_path / "environments/odd/bin").mkdir()
    (tmp_path / "environments/odd/bin/python").symlink_to((fences.ENVIRONMENTS / "base/bin/python").resolve())
    (packages / "secret").touch(0o600)
    (packages / "numpy.py").write_text("import os\nprint(os.listdir('/opt/environment'))\n"
                                       "open('/opt/environment/secret')\n")
    for folder in (tmp_path, *tmp_path.rglob("*")):
        if folder.is_dir() or folder.suffix == ".py":
            folder.chmod(0o755)
    with closing(BubblewrapSandbox(tmp_path / "environments", tmp_path / "state")) as odd:
        ended = fences.inside(odd, "", environment="odd")
    assert "'secret'" in ended.log
    assert "PermissionError: [Errno 13] Permission denied: '/opt/environment/secret'" in ended.log


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RINGFENCE_SECRET", "canary-in-the-environment")
    with fences.sandbox(tmp_path) as fresh:
        log = fences.inside(fresh, "import os\nfor pid in (1, 'self'):\n"
                            "    print(open(f'/proc/{pid}/environ').read())\nprint(dict(os.environ))").log
    assert "canary" not in log
    assert "HOME" in log
    assert str(Path.home()) not in log.replace("/tmp", "")


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        with fences.sandbox(tmp_path) as fresh:
            log = fences.inside(fresh, "import os\nfor name in sorted(os.listdir('/proc/self/fd'), key=int):\n"
                                "    try: print(name, os.readlink(f'/proc/self/fd/{name}'))\n"
                                "    except FileNotFoundError: pass").log
    finally:
        os.close(descriptor)
    kinds = [line.split(" ")[1].split(":")[0] for line in log.splitlines() if line[:1].isdigit()]
    # stdin, stdout, stderr, the control connection, and the bundle that came over it.
    assert kinds == ["/dev/null", "pipe", "pipe", "socket", "/memfd"], log


def test_the_file_system_holds_only_what_is_needed(fence: BubblewrapSandbox) -> None:
    log = fences.inside(fence, "import os\nfor place in ('/', '/etc', '/opt', '/usr', '/dev'):\n"
                        "    print(place, sorted(os.listdir(place)))\n"
                        "for top, folders, files in os.walk('/', followlinks=False):\n"
                        "    for name in files:\n"
                        "        if name in ('sh', 'bash', 'su', 'sudo', 'mount'): print('TOOL', top, name)\n"
                        "    folders[:] = [f for f in folders if top != '/' or f not in ('proc', 'usr', 'opt')]\n").log
    assert "/etc ['ld.so.cache', 'passwd']" in log
    assert "TOOL" not in log
    assert "'bin'" not in log.split("/usr ")[1].splitlines()[0]


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [descendant for child in children for descendant in (child, *_descendants(child))]


def _status(pid: int, key: str) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{key}:"))
