"""Forged and malformed models: each is refused before it is signed, or caught when it is verified."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ringfence.errors import InvalidError
from ringfence.registry import agent_format, package, safetensors, statement
from tests.run_platform import safetensors as written
from tests.run_platform import tabular

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DIGEST = "sha256:" + "cd" * 32
AGENT = tabular([[0.25, 0.75]] * 4)
PROVENANCE = json.dumps({"run": "r", "seed": 1, "spec_digest": DIGEST, "dataset": None, "simulators": {},
                         "code": {"revision": "v", "digest": DIGEST}}).encode()


def content(**changes: bytes) -> dict[str, bytes]:
    return {**AGENT, "evaluation.json": b"{}", "provenance.json": PROVENANCE, **changes}


class Bomb:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def header(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_pickle_in_place_of_tensors_is_refused_and_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "loaded"
    bomb = pickle.dumps(Bomb(mark))
    for name in ("agent.safetensors", "agent.json"):
        with pytest.raises(InvalidError):
            package.build("m", 1, content(**{name: bomb}), KEY.sign, PUBLIC)
    assert not mark.exists()
    pickle.loads(bomb)  # the bomb is real
    assert mark.exists()


GOOD = struct.pack("<8f", *[0.5] * 8)
TENSORS = {
    "empty": b"",
    "shorter than its length": b"\1\0\0",
    "a length beyond the file": struct.pack("<Q", 1 << 40) + b"{}",
    "a header that is no object": struct.pack("<Q", 2) + b"[]",
    "a header with a byte in front": struct.pack("<Q", 3) + b" {}",
    "a header that is not JSON": struct.pack("<Q", 3) + b"{,}",
    "a name twice": struct.pack("<Q", 100) + (
        b'{"policy":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"policy":{"dtype":"F32",'
        b'"shape":[],"data_offsets":[0,4]}}')[:100].ljust(100) + GOOD[:4],
    "a code type": header({"policy": entry([8], 0, 8, "CODE")}, GOOD[:8]),
    "half floats": header({"policy": entry([4, 2], 0, 16, "F16")}, GOOD[:16]),
    "a shape that lies": header({"policy": entry([4, 3], 0, 32)}, GOOD),
    "a negative side": header({"policy": entry([-4, -2], 0, 32)}, GOOD),
    "a side that is no number": header({"policy": entry(["4", 2], 0, 32)}, GOOD),
    "a side that is true": header({"policy": entry([True, 8], 0, 32)}, GOOD),
    "offsets beyond the file": header({"policy": entry([4, 2], 64, 96)}, GOOD),
    "bytes after the last tensor": header({"policy": entry([4, 2], 0, 32)}, GOOD + b"MZ\x90\0"),
    "bytes missing": header({"policy": entry([4, 2], 0, 32)}, GOOD[:-4]),
    "overlapping tensors": header({"policy": entry([4, 2], 0, 32), "again": entry([4, 2], 0, 32)}, GOOD),
    "a gap": header({"policy": entry([7], 4, 32)}, GOOD),
    "metadata that is no text": header({"__metadata__": {"a": {"b": 1}}, "policy": entry([4, 2], 0, 32)}, GOOD),
    "a field more": header({"policy": {**entry([4, 2], 0, 32), "loader": "os.system"}}, GOOD),
    "not a number": header({"policy": entry([4, 2], 0, 32)}, struct.pack("<8f", *[float("nan")] * 8)),
    "infinity": header({"policy": entry([4, 2], 0, 32)}, struct.pack("<8f", *[float("inf")] * 8)),
    "deep nesting": struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
}


@pytest.mark.parametrize("data", TENSORS.values(), ids=TENSORS.keys())
def test_tensors_that_lie_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        safetensors.read(data)
    assert caught.value.code == "model.tensors"
    with pytest.raises(InvalidError):
        package.build("m", 1, content(**{"agent.safetensors": data}), KEY.sign, PUBLIC)


DISCRETE = {"type": "Discrete", "n": 4, "start": 0}
DESCRIPTIONS: dict[str, Any] = {
    "another format": {"format": "ringfence-agent/2"},
    "an unknown kind": {"kind": "pickle"},
    "an unknown mode": {"mode": "creative"},
    "a field more": {"loader": "os.system"},
    "a space of code": {"observation_space": {"type": "Custom", "module": "os"}},
    "no space": {"action_space": None},
    "a space with a field more": {"action_space": {**DISCRETE, "sampler": "x"}},
    "too many states for its table": {"observation_space": {"type": "Discrete", "n": 5}},
    "a negative space": {"observation_space": {"type": "Discrete", "n": -4}},
    "a space that is true": {"observation_space": {"type": "Discrete", "n": True}},
    "a box of objects": {"observation_space": {"type": "Box", "shape": [4], "dtype": "object"}},
    "a box without end": {"observation_space": {"type": "Box", "shape": [2**23, 2**23], "dtype": "float32"}},
    "a network without layers": {"kind": "mlp", "head": "categorical", "observation_encoding": "one_hot"},
    "a network with code": {"kind": "mlp", "head": "categorical", "observation_encoding": "one_hot", "layers": [
        {"weight": "policy", "bias": "policy", "activation": "eval"}]},
    "a network that does not fit": {"kind": "mlp", "head": "categorical", "observation_encoding": "one_hot", "layers": [
        {"weight": "policy", "bias": "policy", "activation": "relu"}]},
}


@pytest.mark.parametrize("changes", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_descriptions_that_are_not_the_format_are_refused(changes: dict[str, Any]) -> None:
    agent = tabular([[0.25, 0.75]] * 4, **changes)
    with pytest.raises(InvalidError) as caught:
        package.build("m", 1, content(**agent), KEY.sign, PUBLIC)
    assert caught.value.code == "model.agent_format"


def test_a_tensor_that_nobody_uses_is_refused() -> None:
    smuggled = written({"policy": ((4, 2), [0.5] * 8), "payload": ((2,), [1.0, 2.0])})
    with pytest.raises(InvalidError) as caught:
        agent_format.check(AGENT["agent.json"], smuggled)
    assert caught.value.field == "payload"


def repacked(files: dict[str, bytes], **changes: Any) -> bytes:
    """Pack as the registry does, but for the changes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=changes.pop("format", tarfile.USTAR_FORMAT)) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            for key, value in changes.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    return package.unpack(package.build("m", 1, content(), KEY.sign, PUBLIC))


def caught_as(data: bytes) -> str:
    report = package.verify_package(data, PUBLIC)
    assert not report.valid
    return report.problem


def test_repacking_unchanged_is_the_same_package() -> None:
    assert package.verify_package(repacked(files()), PUBLIC).valid  # the forger's tools work


@pytest.mark.parametrize("name", package.SIGNED)
def test_a_file_exchanged_under_its_signature_is_caught(name: str) -> None:
    forged = {**files(), name: files()[name] + b" "}
    assert name in caught_as(repacked(forged))


def test_an_agent_exchanged_together_with_its_manifest_is_caught() -> None:
    forged = {**files(), **tabular([[1.0, 0.0]] * 4)}
    manifest = json.loads(forged["manifest.json"])
    manifest["files"] = {member: "sha256:" + hashlib.sha256(forged[member]).hexdigest() for member in package.CONTENT}
    forged["manifest.json"] = statement.canonical(manifest)
    assert "not the file that was signed" in caught_as(repacked(forged))


def test_a_signed_statement_whose_digests_lie_is_caught() -> None:
    lying = statement.statement(dict.fromkeys(package.SIGNED, "00" * 32), json.loads(PROVENANCE))
    forged = {**files(), "signature.json": statement.sign(lying, KEY.sign, PUBLIC)}
    assert "not the file that was signed" in caught_as(repacked(forged))


def test_a_statement_about_less_than_everything_is_caught() -> None:
    held = files()
    digests = {name: hashlib.sha256(held[name]).hexdigest() for name in package.SIGNED}
    full = statement.statement(digests, json.loads(PROVENANCE))
    for part in (dict(full, subject=full["subject"][:-1]), dict(full, predicate={}), dict(full, predicateType="x")):
        forged = {**held, "signature.json": statement.sign(part, KEY.sign, PUBLIC)}
        caught_as(repacked(forged))


def test_the_signature_of_another_model_is_caught() -> None:
    other = package.unpack(package.build("other", 9, content(), KEY.sign, PUBLIC))
    caught_as(repacked({**files(), "signature.json": other["signature.json"]}))


def test_a_forger_who_signs_with_a_key_of_his_own_is_caught() -> None:
    own = Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert "signature" in caught_as(package.build("m", 1, content(), own.sign, public))


def test_an_envelope_with_something_added_is_caught() -> None:
    envelope = json.loads(files()["signature.json"])
    for change in ({**envelope, "note": "trust me"}, {**envelope, "signatures": envelope["signatures"] * 2},
                   {**envelope, "payloadType": "text/plain"}, {**envelope, "signatures": []}, [], "x", None):
        caught_as(repacked({**files(), "signature.json": statement.canonical(change)}))


def test_archives_that_are_not_the_registrys_are_caught() -> None:
    held = files()
    caught_as(repacked(dict(reversed(list(held.items())))))
    caught_as(repacked({**held, "extra.sh": b"#!/bin/sh"}))
    caught_as(repacked({name: held[name] for name in package.CONTENT}))
    caught_as(repacked(held, mtime=1))
    caught_as(repacked(held, mode=0o755))
    caught_as(repacked(held, uid=1000))
    caught_as(repacked(held, format=tarfile.PAX_FORMAT, pax_headers={"path": "../../etc/passwd"}))
    caught_as(repacked(held, type=tarfile.SYMTYPE, linkname="/etc/passwd"))
    caught_as(repacked(held) + b"\0" * 512)
    caught_as(b"not a tar at all" * 100)
