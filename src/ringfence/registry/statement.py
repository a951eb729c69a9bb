"""What is signed: an in-toto statement with SLSA provenance in a DSSE envelope. Pure: stdlib and cryptography.

Sources: in-toto Attestation Framework v1 (Statement), SLSA v1.0 (provenance predicate), secure-systems-lab/dsse v1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ringfence.errors import TamperedError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ringfence:training-run:1"


def canonical(value: Any) -> bytes:
    """Return the one JSON encoding of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def statement(digests: Mapping[str, str], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statement over the package's files, `digests` being hex SHA-256 by name."""
    subjects = [{"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)]
    return {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": PREDICATE_TYPE,
            "predicate": predicate(provenance)}


def predicate(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's provenance in the words of SLSA v1."""
    dataset, simulators = provenance.get("dataset"), provenance.get("simulators", {})
    dependencies = [_dependency("dataset", dataset["version"], dataset["digest"])] if dataset else []
    dependencies += [_dependency(f"simulator:{use}", simulator["version"], simulator["digest"])
                     for use, simulator in sorted(simulators.items())]
    dependencies += [_dependency("code", provenance["code"]["revision"], provenance["code"]["digest"])]
    dependencies += [_dependency(f"environment:{name}", name, digest)
                     for name, digest in sorted(provenance.get("environments", {}).items())]
    return {"buildDefinition": {"buildType": BUILD_TYPE,
                                "externalParameters": {"spec": provenance["spec_digest"]},
                                "internalParameters": {"seed": provenance["seed"]},
                                "resolvedDependencies": dependencies},
            "runDetails": {"builder": {"id": "urn:ringfence:platform"},
                           "metadata": {"invocationId": provenance["run"]}}}


def _dependency(name: str, uri: str, digest: str) -> dict[str, Any]:
    return {"name": name, "uri": uri, "digest": {"sha256": digest.removeprefix("sha256:")}}


def sign(body: Mapping[str, Any], signer: Callable[[bytes], bytes], public_key: bytes) -> bytes:
    """Return the DSSE envelope of a statement; `signer` makes an Ed25519 signature of the bytes it is given."""
    payload = canonical(body)
    return _envelope(payload, signer(pre_authentication(payload)), public_key)


def _envelope(payload: bytes, signature: bytes, public_key: bytes) -> bytes:
    return canonical({"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(),
                      "signatures": [{"keyid": key_id(public_key), "sig": base64.b64encode(signature).decode()}]})


def opened(envelope: bytes, public_key: bytes) -> dict[str, Any]:
    """Return the statement in an envelope that `public_key` (PEM, Ed25519) signed.

    Raises:
        TamperedError: `model.signature`: it is no such envelope, or the signature does not hold.
    """
    try:
        body = json.loads(envelope)
        payload = base64.b64decode(body["payload"], validate=True)
        signatures = [base64.b64decode(item["sig"], validate=True) for item in body["signatures"]]
        key = load_pem_public_key(public_key)
        if body["payloadType"] != PAYLOAD_TYPE or len(signatures) != 1 or not isinstance(key, Ed25519PublicKey):
            raise _broken("the envelope is not one Ed25519 signature over an in-toto statement")
        key.verify(signatures[0], pre_authentication(payload))
        # The signature covers the payload alone: hold the rest of the envelope to the one form that `sign` makes.
        if envelope != _envelope(payload, signatures[0], public_key):
            raise _broken("the envelope is not the one that was signed, or names another key")
        found = json.loads(payload)
    except InvalidSignature as error:
        raise _broken("the signature does not hold under this public key") from error
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise _broken("the envelope or the key can't be read") from error
    if not isinstance(found, dict):
        raise _broken("the signed payload is not a statement")
    return found


def pre_authentication(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, the bytes that are signed."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Return the hex SHA-256 of a PEM public key's DER form."""
    der = load_pem_public_key(public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _broken(problem: str) -> TamperedError:
    return TamperedError("model.signature", f"The signature can't be relied on: {problem}.", field="signature.json",
                         fix="Download the model again, and take the public key from the platform's administrator.")
