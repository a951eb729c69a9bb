"""What a column's name hints at. A hint alone decides nothing: the values have to look the part."""

from __future__ import annotations

import re
import unicodedata

from ringfence_workload.data.dictionary import vocabulary

_SPLIT = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Words after which a column measures or describes what its name mentions: `phone_count`, `email_verified`.
_ABOUT = vocabulary("about")
_KINDS = ("SSN", "NATIONAL_ID", "MEDICAL_RECORD_NUMBER", "ACCOUNT_NUMBER", "CREDIT_CARD", "IBAN", "EMAIL", "PHONE",
          "ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "DEVICE_ID", "USERNAME", "URL", "DATE_OF_BIRTH", "AGE", "SEX",
          "POSTCODE", "CITY", "COUNTRY", "GEO", "REGION", "FREE_TEXT")
_PERSON, _ROLES = vocabulary("person"), vocabulary("role")
_STRONG_NAMES = vocabulary("strong name")
_NAME_WORDS = _STRONG_NAMES | vocabulary("name")


def words_of(name: str) -> tuple[str, ...]:
    """Split a column's name into lower-case words without accents: `dateOfBirth` -> date, of, birth."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name)).encode("ascii", "ignore").decode().lower()
    return tuple(word for word in _SPLIT.split(plain) if word)


def hints(name: str) -> frozenset[str]:
    """Return every type that the name hints at, and NAME (weak) or PERSON_NAME (strong) for names of people."""
    words = words_of(name)
    if _ABOUT.intersection(words):
        return frozenset()
    spaced = f" {' '.join(words)} "
    found = {kind for kind in _KINDS if any(f" {phrase} " in spaced for phrase in vocabulary(kind))}
    if "birth" in words and {"weight", "order", "rate", "place", "city", "country"}.intersection(words):
        found.discard("DATE_OF_BIRTH")
    if {"ip", "mac", "mail", "email", "web", "url", "wallet"}.intersection(words):
        found.discard("ADDRESS")
    return frozenset(found | _name_hint(words))


def _name_hint(words: tuple[str, ...]) -> set[str]:
    if _STRONG_NAMES.intersection(words):
        return {"PERSON_NAME"}
    if _NAME_WORDS.intersection(words):
        others = [word for word in words if word not in _NAME_WORDS]
        if _PERSON.intersection(others):
            return {"PERSON_NAME"}
        return set() if others else {"NAME"}
    return {"NAME"} if _ROLES.intersection(words) else set()
