"""Forged, borrowed and stale session tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from ringfence.errors import UnauthenticatedError
from ringfence.trust.identity.tokens import AUDIENCE, PURPOSE, Tokens
from ringfence.trust.keys.keys_file import FileKeys


@pytest.fixture
def keys(tmp_path: Path) -> FileKeys:
    return FileKeys(tmp_path / "keys")


@pytest.fixture
def tokens(keys: FileKeys) -> Tokens:
    return Tokens(keys)


def coded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def opened(token: str) -> tuple[dict, dict]:
    header, claims, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims))  # type: ignore


def forged(header: dict, claims: dict, sign: Callable[[bytes], bytes]) -> str:
    signed = f"{coded(header)}.{coded(claims)}"
    return f"{signed}.{coded(sign(signed.encode()))}"


def resigned(keys: FileKeys, token: str, *, header: dict | None = None, claims: dict | None = None,
             purpose: str = PURPOSE) -> str:
    """Return a token with changes, signed by the platform: what a slip in another part of it could hand out."""
    old_header, old_claims = opened(token)
    return forged({**old_header, **(header or {})}, {**old_claims, **(claims or {})},
                  lambda data: keys.sign(purpose, data))


def refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(UnauthenticatedError) as error:
        tokens.account(token)
    assert error.value.code == "session.invalid"


def test_a_good_token_names_its_account(tokens: Tokens, keys: FileKeys) -> None:
    token, ends = tokens.make("account-1")
    assert tokens.account(token) == "account-1" and 3590 < ends - time.time() <= 3600
    assert opened(token)[0]["alg"] == "Ed25519", "not the deprecated EdDSA"
    assert tokens.account(resigned(keys, token)) == "account-1", "the tests' own forge makes good tokens"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "EdDSA", "RS256", "ES256", None, 7,
                                       ["Ed25519"]])
def test_another_algorithm(tokens: Tokens, keys: FileKeys, algorithm: object) -> None:
    token, _ = tokens.make("account-1")
    refused(tokens, resigned(keys, token, header={"alg": algorithm}))
    header, claims = opened(token)
    refused(tokens, f"{coded({**header, 'alg': algorithm})}.{coded(claims)}.")


@pytest.mark.parametrize("form", ["pem", "raw", "der"])
def test_the_public_key_as_a_shared_secret(tokens: Tokens, keys: FileKeys, form: str) -> None:
    pem = keys.public_key(PURPOSE)
    body = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    secret = {"pem": pem, "der": body, "raw": body[-32:]}[form]
    header, claims = opened(tokens.make("account-1")[0])
    for algorithm in ("HS256", "Ed25519"):
        refused(tokens, forged({**header, "alg": algorithm}, claims,
                               lambda data: hmac.new(secret, data, hashlib.sha256).digest()))


def test_a_key_that_the_token_brings_along(tokens: Tokens) -> None:
    own = Ed25519PrivateKey.generate()
    jwk = OKPKey.generate_key("Ed25519").as_dict(private=False)
    header, claims = opened(tokens.make("account-1")[0])
    for extra in ({}, {"jwk": jwk}, {"jku": "https://192.0.2.1/keys"}, {"x5u": "https://192.0.2.1/"},
                  {"kid": "../../dev/null"}, {"crit": ["exp"], "exp": 0}):
        refused(tokens, forged({**header, **extra}, claims, own.sign))


def test_a_signature_made_for_another_purpose(tokens: Tokens, keys: FileKeys) -> None:
    token, _ = tokens.make("account-1")
    for purpose in ("audit", "models", "simulators"):
        refused(tokens, resigned(keys, token, purpose=purpose))


@pytest.mark.parametrize("claims", [
    {"exp": 1}, {"exp": int(time.time()) - 1}, {"nbf": int(time.time()) + 60}, {"iat": int(time.time()) + 3600},
    {"aud": "another"}, {"aud": [AUDIENCE, "another"]}, {"aud": ""}, {"iss": "another"}, {"iss": ""}, {"sub": ""},
    {"exp": "never"}, {"exp": None}, {"jti": ""}, {"exp": float("inf")}])
def test_claims_that_do_not_hold(tokens: Tokens, keys: FileKeys, claims: dict) -> None:
    refused(tokens, resigned(keys, tokens.make("account-1")[0], claims=claims))


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "aud", "iss", "sub", "jti"])
def test_a_claim_left_out(tokens: Tokens, keys: FileKeys, claim: str) -> None:
    header, claims = opened(tokens.make("account-1")[0])
    del claims[claim]
    refused(tokens, forged(header, claims, lambda data: keys.sign(PURPOSE, data)))


def test_time_runs_out(keys: FileKeys) -> None:
    now = [1_800_000_000.0]
    tokens = Tokens(keys, lambda: now[0])
    token, ends = tokens.make("account-1")
    now[0] = ends - 1
    assert tokens.account(token) == "account-1"
    for moment in (ends, ends + 1, ends - 3602):
        now[0] = moment
        refused(tokens, token)


def test_another_platforms_token(tokens: Tokens, tmp_path: Path) -> None:
    refused(tokens, Tokens(FileKeys(tmp_path / "other")).make("account-1")[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_character(tokens: Tokens, data: st.DataObject) -> None:
    token, _ = tokens.make("account-1")
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc019-_.=+/ \0é"))
    changed = token[:place] + other + token[place + 1 :]
    if changed == token:
        return
    if place == len(token) - 1:  # its last bits are unused: another letter may stand for the same signature
        with suppress(UnauthenticatedError):
            assert tokens.account(changed) == "account-1"
    else:
        refused(tokens, changed)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=200), st.binary(max_size=100).map(lambda data: data.decode("latin-1")),
                      st.lists(st.binary(max_size=40).map(coded), min_size=3, max_size=5).map(".".join)))
def test_garbage(tokens: Tokens, text: str) -> None:
    refused(tokens, text)


@pytest.mark.parametrize("token", ["", ".", "..", "...", "a.b.c", "e30.e30.", "x" * 5000, "[" * 4000,
                                   coded(b"[" * 2000) + ".e30.e30", "e30.e30.e30.e30.e30",
                                   coded({"alg": "Ed25519", "b64": False}) + ".e30.e30"])
def test_odd_tokens(tokens: Tokens, token: str) -> None:
    refused(tokens, token)
