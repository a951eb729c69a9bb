"""Bundles that hide something: what the scan must find, and what it must not show; run for real in a fence."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import tarfile
from collections.abc import Iterator, Mapping

import pytest

from ringfence.errors import WorkloadError
from ringfence.sandbox.sandbox_bubblewrap import BubblewrapSandbox
from ringfence.simulators.examination import Examiner
from ringfence.simulators.scan import Finding, Scan
from ringfence_workload.wire import memory
from tests.bundles import CARTPOLE, packed
from tests.fences import ENVIRONMENTS, sandbox

MANIFEST = "kind: Simulator\nname: tested\nversion: 1.0.0\nentry_point: 'project:make'\nlicences: [MIT]\n"


@pytest.fixture(scope="module")
def fences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapSandbox]:
    with sandbox(tmp_path_factory.mktemp("fences")) as opened:
        yield opened


def scanned(fences: BubblewrapSandbox, bundle: bytes) -> Scan:
    descriptor = memory.sealed(bundle)
    try:
        return Examiner(fences, descriptor, "tested").scan()[0]
    finally:
        os.close(descriptor)


def findings(fences: BubblewrapSandbox, files: Mapping[str, str | bytes]) -> tuple[Finding, ...]:
    return scanned(fences, packed({"simulator.yaml": MANIFEST, **files})).findings


# Put together here, so that no scanner takes this file for one that holds secrets.
SECRETS = {
    "private key": ("-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n", "secret.private_key", "critical"),
    "openssh key": ("-----BEGIN OPENSSH " + "PRIVATE KEY-----\n", "secret.private_key", "critical"),
    "pgp key": ("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\n", "secret.private_key", "critical"),
    "aws": ("AK" + "IAIOSFODNN7EXAMPLE", "secret.aws_key", "critical"),
    "github": ("gh" + "p_" + "a1B2" * 9, "secret.github_token", "critical"),
    "github fine": ("github" + "_pat_" + "a1B2_" * 9, "secret.github_token", "critical"),
    "gitlab": ("glpat" + "-" + "a1B2c3D4e5F6g7H8i9J0", "secret.gitlab_token", "critical"),
    "slack": ("xox" + "b-123456789012-abcdefABCDEF", "secret.slack_token", "critical"),
    "google": ("AI" + "za" + "a1B2c" * 7, "secret.google_key", "critical"),
    "stripe": ("sk" + "_live_" + "a1B2c3D4e5F6g7H8", "secret.stripe_key", "critical"),
    "jwt": ("ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "secret.json_web_token", "high"),
    "url": ("postgres://ward:" + "s3cretpw" + "@db.internal/ward", "secret.url_password", "high"),
    "assignment": ("DB_PASSWORD = '" + "k9#vR2xQ7!mZ4pL8" + "'", "secret.assignment", "high"),
    "yaml assignment": ("api_key: \"" + "k9vR2xQ7mZ4pL8tY" + "\"", "secret.assignment", "high"),
    "weak password": ("password = '" + "hunter" + "2'", "secret.assignment", "medium"),
}


@pytest.mark.parametrize(("text", "rule", "severity"), SECRETS.values(), ids=SECRETS.keys())
@pytest.mark.parametrize("file", ["notes.txt", "data.bin"])
def test_a_secret_is_found_and_not_shown(fences: BubblewrapSandbox, file: str, text: str, rule: str,
                                         severity: str) -> None:
    before = b"\x00\xff\n" if file == "data.bin" else b"one\n"
    found = findings(fences, {file: before + text.encode() + b"\n"})
    match = [one for one in found if one.rule == rule]
    assert [(one.severity, one.file, one.line) for one in match] == [(severity, file, 2)]
    if rule != "secret.private_key":
        words = text.replace("'", " ").replace('"', " ").replace("@", " ").replace(":", " ").split()
        secret = max((word for word in words if "pass" not in word.lower()), key=len)
        assert not any(secret[4:] in one.evidence for one in found)


@pytest.mark.parametrize("text", [
    "token = os.environ['TOKEN']", "tokenizer = 'bert-base-uncased-2018'", "author = 'k9vR2xQ7mZ4pL8tY'",
    "https://example.org:8443/path", "password = ''", "secret = None", "AKIA", "-----BEGIN CERTIFICATE-----",
    "commit = '9fceb02d0ae598e95dc970b74767f19372d61af8'"])
def test_what_is_no_secret_is_left_alone(fences: BubblewrapSandbox, text: str) -> None:
    assert findings(fences, {"notes.txt": text}) == ()


@pytest.mark.parametrize("name", [".env", "id_rsa", ".netrc", "conf/credentials", "store.p12", ".pypirc"])
def test_a_file_of_credentials_is_found_by_its_name(fences: BubblewrapSandbox, name: str) -> None:
    assert "secret.file" in {one.rule for one in findings(fences, {name: "x"})}


CALLS = {
    "os.system": ("import os\nos.system('id')", "call.process"),
    "another name": ("import os as o\nf = o.system\nf('id')", "call.process"),
    "from import": ("from os import system as s\ns('id')", "call.process"),
    "posix": ("import posix\nposix.system('id')", "call.process"),
    "handed on": ("import os\nprint(list(map(os.popen, ['id'])))", "call.process"),
    "subprocess": ("import subprocess\nsubprocess.run(['id'])", "call.process"),
    "in a function": ("def f():\n    import subprocess as s\n    s.check_output('id')", "call.process"),
    "fork": ("import os\nos.fork()", "call.process"),
    "kill": ("from os import kill\nkill(1, 9)", "call.process"),
    "pty": ("import pty\npty.spawn('sh')", "call.process"),
    "socket": ("import socket\nsocket.create_connection(('x', 80))", "call.network"),
    "socket inside try": ("try:\n    from socket import *\nexcept ImportError: pass", "call.network"),
    "urllib": ("from urllib.request import urlopen\nurlopen('http://x')", "call.network"),
    "http": ("import http.client", "call.network"),
    "requests": ("import requests", "call.network"),
    "dunder import": ("__import__('socket')", "call.network"),
    "importlib": ("import importlib\nimportlib.import_module('requests')", "call.network"),
    "ctypes": ("import ctypes\nctypes.CDLL(None)", "call.native"),
    "cffi": ("from cffi import FFI", "call.native"),
    "mmap": ("import mmap", "call.native"),
    "eval": ("eval('1')", "call.code"),
    "exec": ("exec(open('x').read())", "call.code"),
    "compile": ("compile('1', 'x', 'exec')", "call.code"),
    "builtins": ("import builtins\nbuiltins.exec('1')", "call.code"),
    "under another name": ("run = exec\nrun('1')", "call.code"),
    "runpy": ("import runpy\nrunpy.run_path('x')", "call.code"),
    "pickle": ("import pickle\npickle.load(open('x', 'rb'))", "call.unpickle"),
    "pickle loads": ("from pickle import loads\nloads(b'')", "call.unpickle"),
    "marshal": ("import marshal\nmarshal.loads(b'')", "call.unpickle"),
    "joblib": ("import joblib\njoblib.load('x')", "call.unpickle"),
    "torch": ("import torch\ntorch.load('x')", "call.unpickle"),
    "numpy": ("import numpy as np\nnp.load('x.npy', allow_pickle=True)", "call.unpickle"),
    "yaml": ("import yaml\nyaml.unsafe_load('x')", "call.unpickle"),
    "import made up": ("__import__('so' + 'cket')", "call.import"),
    "import by variable": ("import importlib\nimportlib.import_module(name)", "call.import"),
    "getattr": ("import os\ngetattr(os, 'sys' + 'tem')('id')", "call.hidden"),
    "getattr of a constant": ("import os\ngetattr(os, 'system')('id')", "call.process"),
    "getattr of import": ("getattr(__import__('os'), name)('id')", "call.hidden"),
    "builtins dict": ("__builtins__['eval']('1')", "call.hidden"),
    "subclasses": ("().__class__.__base__.__subclasses__()", "call.hidden"),
    "globals of a function": ("f.__globals__['os']", "call.hidden"),
    "star": ("from os import *\nsystem('id')", "call.hidden"),
    "sys.modules": ("import sys\nsys.modules['os'].system('id')", "call.hidden"),
    "utf-7": ("# coding: utf-7\n+AGkAbQBwAG8AcgB0- socket\n", "call.network"),
}


@pytest.mark.parametrize(("code", "rule"), CALLS.values(), ids=CALLS.keys())
def test_a_dangerous_call_is_found_where_it_stands(fences: BubblewrapSandbox, code: str, rule: str) -> None:
    found = [one for one in findings(fences, {"package/inner.py": code}) if one.severity in ("high", "critical")]
    assert rule in {one.rule for one in found}
    assert all(one.file == "package/inner.py" and 1 <= one.line <= code.count("\n") + 1 for one in found)


@pytest.mark.parametrize("code", [
    CARTPOLE, "import re\nre.compile('x')", "import os\nos.path.join('a', 'b')", "model.eval()", "code.value = 1",
    "import numpy as np\nnp.load('t.npz', allow_pickle=False)", "import yaml\nyaml.safe_load('x')", "self.socket = 1",
    "'eval exec os.system'", "import json, math, random, dataclasses", "x.system('id')", "import pickle_free"])
def test_ordinary_code_is_left_alone(fences: BubblewrapSandbox, code: str) -> None:
    assert findings(fences, {"project.py": code}) == ()


UNREADABLE = {"broken": b"def f(:\n", "null": b"x = 1\x00", "encoding": b"# coding: no-such-code\nx = 1\n",
              "bytes": b"\xff\xfe\x00", "deep": b"(" * 5000 + b")" * 5000, "deeper": b"x = " + b"-" * 200_000 + b"1"}


@pytest.mark.parametrize("source", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_code_that_can_not_be_looked_into_is_a_high_finding(fences: BubblewrapSandbox, source: bytes) -> None:
    (found,) = findings(fences, {"project.py": source})
    assert (found.severity, found.rule) == ("high", "code.unreadable")


FILES = {
    "elf": ("run", b"\x7fELF\x02\x01\x01", "binary.native", "high"),
    "elf named text": ("readme.txt", b"\x7fELF\x02\x01\x01", "binary.native", "high"),
    "so": ("fast.so", b"", "binary.native", "high"),
    "versioned so": ("libfast.so.1", b"", "binary.native", "high"),
    "pyd": ("fast.pyd", b"", "binary.native", "high"),
    "exe": ("a.txt", b"MZ\x90\x00\x03", "binary.native", "high"),
    "mach-o": ("a.txt", b"\xcf\xfa\xed\xfe", "binary.native", "high"),
    "bytecode": ("hidden.pyc", b"\xa7\r\r\n", "binary.bytecode", "high"),
    "pickle": ("table.dat", pickle.dumps({"a": 1}), "binary.pickle", "medium"),
    "pickle name": ("table.pkl", b"", "binary.pickle", "medium"),
    "zip": ("more.dat", b"PK\x03\x04", "binary.archive", "medium"),
    "wheel": ("more.whl", b"", "binary.archive", "medium"),
    "hidden": (".more/x", b"", "", ""),
    "hidden file": (".more", b"", "file.hidden", "medium"),
    "shadow": ("random.py", b"", "code.shadows", "medium"),
    "shadow ours": ("ringfence_workload/__init__.py", b"", "code.shadows", "medium"),
}


@pytest.mark.parametrize(("name", "content", "rule", "severity"), FILES.values(), ids=FILES.keys())
def test_a_file_is_found_by_what_it_is(fences: BubblewrapSandbox, name: str, content: bytes, rule: str,
                                       severity: str) -> None:
    found = findings(fences, {name: content})
    assert [(one.rule, one.severity, one.file) for one in found] == ([(rule, severity, name)] if rule else [])


def test_bytecode_beside_its_source_is_less(fences: BubblewrapSandbox) -> None:
    (found,) = findings(fences, {"a.py": "", "a.pyc": b"\xa7\r\r\n"})
    assert (found.rule, found.severity) == ("binary.bytecode", "medium")


def odd(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        manifest = tarfile.TarInfo("simulator.yaml")
        manifest.size = len(MANIFEST)
        archive.addfile(manifest, io.BytesIO(MANIFEST.encode()))
        for member in members:
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname = kind, mode, link
    return made


@pytest.mark.parametrize(("entry", "rule", "severity"), [
    (member("run", mode=0o4755), "file.setuid", "high"), (member("run", mode=0o2755), "file.setuid", "high"),
    (member("link", tarfile.SYMTYPE, link="/etc/shadow"), "file.not_plain", "critical"),
    (member("link", tarfile.LNKTYPE, link="simulator.yaml"), "file.not_plain", "critical"),
    (member("disk", tarfile.BLKTYPE), "file.not_plain", "critical"),
    (member("pipe", tarfile.FIFOTYPE), "file.not_plain", "critical"),
    (member("../up.txt"), "file.outside", "critical"), (member("/tmp/x.txt"), "file.outside", "critical"),
    (member("simulator.yaml"), "file.twice", "high"),
], ids=["setuid", "setgid", "symlink", "hardlink", "device", "fifo", "up", "absolute", "twice"])
def test_an_entry_that_no_project_needs_is_found(fences: BubblewrapSandbox, entry: tarfile.TarInfo, rule: str,
                                                 severity: str) -> None:
    assert (rule, severity) in {(one.rule, one.severity) for one in scanned(fences, odd(entry)).findings}


def test_many_findings_do_not_drown_the_worst(fences: BubblewrapSandbox) -> None:
    noise = "\n".join(f"password{n} = 'hunter{n % 9}'" for n in range(3000))
    scan = scanned(fences, packed({"simulator.yaml": MANIFEST, "a.txt": noise, "z.py": "import socket"}))
    assert (scan.findings[0].rule, len(scan.findings)) == ("call.network", 500)
    assert scan.counts["medium"] == 3000 and scan.counts["high"] == 1


def test_names_can_not_draw_on_a_terminal(fences: BubblewrapSandbox) -> None:
    (found,) = findings(fences, {"a\x1b[2J.py": "import socket"})
    assert found.file.isprintable()


@pytest.mark.parametrize("bundle", [b"", b"x" * 5000, packed({"a.txt": "y" * 5000})[:-7000]],
                         ids=["empty", "noise", "cut"])
def test_what_is_no_bundle_is_refused(fences: BubblewrapSandbox, bundle: bytes) -> None:
    with pytest.raises(WorkloadError) as caught:
        scanned(fences, bundle)
    assert caught.value.code == "simulator.bundle_broken"


def test_none_of_it_is_run(fences: BubblewrapSandbox) -> None:
    """The same module ends a process that imports it; the scan of it goes through."""
    dying = "import os\nos._exit(7)\n"
    outside = subprocess.run([ENVIRONMENTS / "base/bin/python", "-c", dying], check=False)
    assert outside.returncode == 7
    assert scanned(fences, packed({"simulator.yaml": MANIFEST, "project.py": dying})).advisories == "not checked"
