"""Session tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 9864) through the key port; one algorithm, one audience."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from ringfence.errors import UnauthenticatedError
from ringfence.trust.keys.keys import Keys

ISSUER, AUDIENCE, PURPOSE = "ringfence", "ringfence-api", "sessions"
LIFETIME = 3600  # seconds
_LONGEST = 4096


class Tokens:
    """Makes and reads session tokens. A token names its account only: what that may do is read at each request."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._keys, self._clock = keys, clock

    def make(self, account: str) -> tuple[str, float]:
        """Return a token for the account and when it ends, in seconds since the epoch."""
        now = int(self._clock())
        header = {"alg": "Ed25519", "typ": "JWT", "kid": self._key_id()}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": account, "iat": now, "nbf": now, "exp": now + LIFETIME,
                  "jti": secrets.token_hex(16)}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self._keys.sign(PURPOSE, signed.encode()))}", float(now + LIFETIME)

    def account(self, token: str) -> str:
        """Return the id of the account that the token names.

        Raises:
            UnauthenticatedError: it is no token of this platform for this API, or its time is over or has not come.
        """
        rules = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock()), leeway=0, iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}, nbf={"essential": True},
            iat={"essential": True}, sub={"essential": True}, jti={"essential": True})
        try:
            if len(token) > _LONGEST:
                raise ValueError(token[:20])
            key = OKPKey.import_key(self._keys.public_key(PURPOSE))
            read = jwt.decode(token, key, algorithms=["Ed25519"])
            rules.validate(read.claims)
            if read.header.get("kid") != self._key_id() or read.claims["aud"] != AUDIENCE:
                raise ValueError(read.header)
            return str(read.claims["sub"])
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise UnauthenticatedError("session.invalid", "The session token does not hold, or its time is over.",
                                       fix="Log in again with `ringfence login`.") from None

    def _key_id(self) -> str:
        return hashlib.sha256(self._keys.public_key(PURPOSE)).hexdigest()[:16]


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
