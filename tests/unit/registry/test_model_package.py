"""The model package: the same bytes for the same content, verified offline, and any change to it is caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis.strategies import integers

from ringfence.errors import InvalidError
from ringfence.registry import package
from tests.run_platform import tabular

KEY, OTHER = Ed25519PrivateKey.from_private_bytes(b"k" * 32), Ed25519PrivateKey.from_private_bytes(b"o" * 32)
DIGEST = "sha256:" + "ab" * 32
PROVENANCE = {
    "run": "run-1", "seed": 7, "spec_digest": DIGEST, "code": {"revision": "v1", "digest": DIGEST},
    "dataset": {"version": "walks@1", "digest": DIGEST, "columns": ["state"]},
    "simulators": {"evaluation": {"name": "corridor", "version": "corridor@1.0.0", "digest": DIGEST}},
    "environments": {"base": DIGEST}}


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def content() -> dict[str, bytes]:
    return {**tabular([[0.0, 1.0]] * 5), "evaluation.json": b'{"evaluation": {}}',
            "provenance.json": json.dumps(PROVENANCE).encode()}


def built(version: int = 1, key: Ed25519PrivateKey = KEY) -> bytes:
    return package.build("walk", version, content(), key.sign, pem(key))


PACKAGE = built()


def test_a_package_verifies_and_names_what_it_came_from() -> None:
    report = package.verify_package(PACKAGE, pem(KEY))
    assert (report.valid, report.problem) == (True, "")
    definition = report.statement["predicate"]["buildDefinition"]
    assert {item["name"]: item["uri"] for item in definition["resolvedDependencies"]} == {
        "dataset": "walks@1", "simulator:evaluation": "corridor@1.0.0", "code": "v1", "environment:base": "base"}
    assert definition["externalParameters"] == {"spec": DIGEST}
    assert definition["internalParameters"] == {"seed": 7}
    assert {subject["name"] for subject in report.statement["subject"]} == set(package.SIGNED)


def test_the_same_content_gives_the_same_bytes_and_the_digest_is_the_files(tmp_path: Path) -> None:
    assert built() == PACKAGE
    path = tmp_path / "model.tar"
    path.write_bytes(PACKAGE)
    report = package.verify_package(path, pem(KEY))
    assert report == package.verify_package(PACKAGE, pem(KEY))
    import hashlib

    assert report.digest == "sha256:" + hashlib.sha256(PACKAGE).hexdigest()


def test_another_key_does_not_verify_it() -> None:
    assert not package.verify_package(PACKAGE, pem(OTHER)).valid
    assert not package.verify_package(PACKAGE, b"no key at all").valid


def test_what_is_packed_comes_out_again() -> None:
    files = package.unpack(PACKAGE)
    assert {name: files[name] for name in content()} == content()


@settings(max_examples=150, deadline=None)
@given(place=integers(0, len(PACKAGE) * 8 - 1))
def test_a_changed_bit_anywhere_is_caught(place: int) -> None:
    changed = bytearray(PACKAGE)
    changed[place // 8] ^= 1 << place % 8
    assert not package.verify_package(bytes(changed), pem(KEY)).valid


@settings(max_examples=50, deadline=None)
@given(length=integers(0, len(PACKAGE) - 1))
def test_a_truncated_package_is_caught(length: int) -> None:
    assert not package.verify_package(PACKAGE[:length], pem(KEY)).valid


def test_content_that_is_not_the_four_files_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        package.build("walk", 1, {**content(), "extra.bin": b""}, KEY.sign, pem(KEY))
    assert caught.value.code == "model.content"
