"""What every key adapter must do, and what it must refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.errors import InvalidError, TamperedError, UnavailableError
from ringfence.trust.keys.keys import Keys
from ringfence.trust.keys.keys_file import FileKeys

KEY = bytes(range(32))


@pytest.fixture(params=["file"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    assert request.param == "file"
    return FileKeys(tmp_path / "keys")


def verifier(keys: Keys, purpose: str) -> Ed25519PublicKey:
    key = load_pem_public_key(keys.public_key(purpose))
    assert isinstance(key, Ed25519PublicKey)
    return key


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(key=st.binary(max_size=64), context=st.binary(max_size=64))
def test_what_is_wrapped_comes_back(keys: Keys, key: bytes, context: bytes) -> None:
    wrapped = keys.wrap("landing", key, context)
    assert keys.unwrap("landing", wrapped, context) == key
    assert len(key) < 16 or key not in wrapped


def test_wrapping_is_bound_to_purpose_and_context(keys: Keys) -> None:
    wrapped = keys.wrap("landing", KEY, b"here")
    keys.wrap("models", KEY, b"here")
    for purpose, context in (("landing", b"there"), ("models", b"here"), ("landing", b"")):
        with pytest.raises(TamperedError):
            keys.unwrap(purpose, wrapped, context)


def test_every_changed_byte_of_a_wrapped_key_is_found(keys: Keys) -> None:
    wrapped = keys.wrap("landing", KEY, b"")
    for place in range(len(wrapped)):
        with pytest.raises(TamperedError):
            keys.unwrap("landing", wrapped[:place] + bytes([wrapped[place] ^ 128]) + wrapped[place + 1 :], b"")
    for length in range(len(wrapped)):
        with pytest.raises(TamperedError):
            keys.unwrap("landing", wrapped[:length], b"")


def test_wrapping_twice_looks_different(keys: Keys) -> None:
    assert keys.wrap("landing", KEY, b"") != keys.wrap("landing", KEY, b"")


def test_unwrapping_makes_no_key(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is not there"):
        keys.unwrap("landing", b"x" * 80, b"")
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_signature_holds_for_its_purpose_and_data_only(keys: Keys) -> None:
    signature = keys.sign("audit", b"data")
    verifier(keys, "audit").verify(signature, b"data")
    with pytest.raises(InvalidSignature):
        verifier(keys, "audit").verify(signature, b"date")
    with pytest.raises(InvalidSignature):
        verifier(keys, "models").verify(signature, b"data")


def test_derived_keys_differ_by_purpose_and_context(keys: Keys, tmp_path: Path) -> None:
    derived = {keys.derive(*names) for names in (("tokens", "a"), ("tokens", "b"), ("other", "a"), ("tokens", ""))}
    assert len(derived) == 4 and all(len(key) == 32 for key in derived)
    assert keys.derive("tokens", "a") in derived
    assert FileKeys(tmp_path / "elsewhere").derive("tokens", "a") not in derived


def test_derivation_does_not_run_purpose_and_context_together(keys: Keys) -> None:
    assert keys.derive("ab", "c") != keys.derive("a", "bc")


@pytest.mark.parametrize("purpose", ["", "../x", "A", "a/b", "a" * 50, "a.b", "ä"])
def test_a_purpose_is_a_word(keys: Keys, purpose: str) -> None:
    for use in (lambda: keys.wrap(purpose, KEY, b""), lambda: keys.unwrap(purpose, b"", b""),
                lambda: keys.sign(purpose, b""), lambda: keys.derive(purpose, ""), lambda: keys.public_key(purpose)):
        with pytest.raises(InvalidError):
            use()


def test_keys_last(keys: Keys, tmp_path: Path) -> None:
    wrapped, public = keys.wrap("landing", KEY, b""), keys.public_key("audit")
    again = FileKeys(tmp_path / "keys")
    assert again.unwrap("landing", wrapped, b"") == KEY
    assert again.public_key("audit") == public


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path; from ringfence.trust.keys.keys_file import FileKeys; "
            "sys.stdin.read(1); print(FileKeys(Path(sys.argv[1])).derive('p', 'c').hex())")
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "keys")], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({child.communicate("x")[0] for child in children}) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["derive.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_key_file_that_others_may_use_is_refused(keys: Keys, tmp_path: Path, mode: int) -> None:
    keys.sign("audit", b"")
    path = tmp_path / "keys" / "sign-audit.pem"
    path.chmod(mode)
    with pytest.raises(UnavailableError, match="Others than its owner") as refused:
        FileKeys(tmp_path / "keys").sign("audit", b"")
    assert refused.value.code == "keys.permissions" and str(path) in refused.value.fix


def test_a_key_folder_that_others_may_enter_is_refused(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "keys").chmod(0o750)
    with pytest.raises(UnavailableError, match="Others than its owner"):
        FileKeys(tmp_path / "keys")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(keys: Keys, tmp_path: Path) -> None:
    keys.derive("p", "c")
    os.chown(tmp_path / "keys" / "derive.key", 12345, 12345)
    with pytest.raises(UnavailableError, match="another user"):
        FileKeys(tmp_path / "keys").derive("p", "c")


def test_a_link_is_not_followed(keys: Keys, tmp_path: Path) -> None:
    keys.derive("p", "c")
    (tmp_path / "keys" / "derive.key").rename(tmp_path / "moved")
    (tmp_path / "keys" / "derive.key").symlink_to(tmp_path / "moved")
    with pytest.raises(UnavailableError):
        FileKeys(tmp_path / "keys").derive("p", "c")


@pytest.mark.parametrize("contents", [b"", b"not base64!", b"c2hvcnQ=\n", b"A" * 100_000])
def test_a_broken_key_file_is_refused(keys: Keys, tmp_path: Path, contents: bytes) -> None:
    keys.derive("p", "c")
    (tmp_path / "keys" / "derive.key").write_bytes(contents)
    with pytest.raises(UnavailableError, match="can't be used"):
        FileKeys(tmp_path / "keys").derive("p", "c")
    (tmp_path / "keys" / "sign-audit.pem").write_bytes(contents)
    (tmp_path / "keys" / "sign-audit.pem").chmod(0o600)
    with pytest.raises(UnavailableError, match="can't be used"):
        FileKeys(tmp_path / "keys").sign("audit", b"")
