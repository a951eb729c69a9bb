"""Secrets in files of any kind: known forms of tokens and keys, and assignments of what looks random."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from ringfence_workload.scan.finding import Finding, masked

# Each pattern's group 1 is the secret. All of them match in linear time.
_FORMS: tuple[tuple[str, str, re.Pattern[bytes]], ...] = tuple((severity, rule, re.compile(pattern)) for
                                                               severity, rule, pattern in (
    ("critical", "secret.private_key", rb"(-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----)"),
    ("critical", "secret.aws_key", rb"\b((?:AKIA|ASIA)[0-9A-Z]{16})\b"),
    ("critical", "secret.github_token", rb"\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})\b"),
    ("critical", "secret.gitlab_token", rb"\b(glpat-[A-Za-z0-9_-]{20,64})\b"),
    ("critical", "secret.slack_token", rb"\b(xox[abeoprs]-[A-Za-z0-9-]{10,250})"),
    ("critical", "secret.google_key", rb"\b(AIza[0-9A-Za-z_-]{35})"),
    ("critical", "secret.stripe_key", rb"\b([sr]k_live_[0-9A-Za-z]{16,128})\b"),
    ("critical", "secret.hugging_face_token", rb"\b(hf_[A-Za-z0-9]{30,64})\b"),
    ("critical", "secret.pypi_token", rb"\b(pypi-[A-Za-z0-9_-]{50,500})"),
    ("high", "secret.json_web_token",
     rb"\b(eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000})"),
    ("high", "secret.url_password", rb"\b[a-z][a-z0-9+]{1,20}://[^\s:/@'\"]{1,100}:([^\s:/@'\"]{3,100})@[A-Za-z0-9]"),
))
_ASSIGNED = re.compile(
    rb"(?i)\b([a-z0-9_]{0,40}(?:password|passwd|passphrase|secret|token(?!iz)|api_?key|access_?key|private_?key|credential)"
    rb"[a-z0-9_]{0,20})['\"]?\s{0,8}[:=]\s{0,8}[bru]{0,2}['\"]([^'\"\r\n]{6,500})['\"]")
_FILES = re.compile(r"(?:\.env(?:\..+)?|\.netrc|\.pypirc|\.npmrc|\.pgpass|\.htpasswd|id_(?:rsa|dsa|ecdsa|ed25519)|"
                    r"credentials(?:\.json)?|.*\.(?:p12|pfx|jks|keystore|kdbx|ppk))", re.IGNORECASE)
RANDOM_BITS, RANDOM_LENGTH = 3.2, 12
SEARCHED = 32 << 20


def find(name: str, content: bytes) -> Iterator[Finding]:
    """Yield the secrets in a file's first 32 MiB, and the file itself where its name says what it holds."""
    if _FILES.fullmatch(PurePosixPath(name).name):
        yield Finding("high", "secret.file", name, 0, "its name is that of a file of credentials")
    searched = content[:SEARCHED]
    if len(content) > SEARCHED:
        yield Finding("medium", "secret.too_large", name, 0, f"only its first {SEARCHED >> 20} MiB were searched")
    taken: list[tuple[int, int]] = []
    for severity, rule, form in _FORMS:
        for match in form.finditer(searched):
            taken.append(match.span(1))
            secret = match.group(1).decode("latin-1")
            shown = secret if rule == "secret.private_key" else masked(secret, 0 if "password" in rule else 4)
            yield Finding(severity, rule, name, _line(searched, match.start(1)), shown)
    for match in _ASSIGNED.finditer(searched):
        if not any(begin < match.end(2) and match.start(2) < end for begin, end in taken):
            yield _assigned(name, _line(searched, match.start(2)), match.group(1), match.group(2))


def _assigned(name: str, line: int, key: bytes, value: bytes) -> Finding:
    secret = value.decode("latin-1")
    looks_random = len(secret) >= RANDOM_LENGTH and " " not in secret and entropy(secret) >= RANDOM_BITS
    severity = "high" if looks_random else "medium" if " " not in secret else "low"
    return Finding(severity, "secret.assignment", name, line, f"{key.decode('latin-1')} = {masked(secret, 0)}")


def entropy(text: str) -> float:
    """Return the Shannon entropy of a text's characters, in bits each."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
