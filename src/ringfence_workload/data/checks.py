"""Checksums and number plans of identifiers, vectorised over columns of digit strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

_VERHOEFF_D = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
                        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
                        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
                        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]])
_VERHOEFF_P = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
                        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7], [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
                        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8]])


def digits(values: pl.Series, length: int) -> Any:
    """Return an int array (n, length) of digit strings that all have `length` digits."""
    raw = np.frombuffer("".join(values.to_list()).encode("ascii"), dtype=np.uint8)
    return raw.reshape(-1, length).astype(np.int64) - 48


def by_length(values: pl.Series, check: Callable[[Any], Any]) -> float:
    """Return the share of digit strings that pass `check`, which takes an array (n, length) of digits."""
    passed = 0
    for length in values.str.len_bytes().unique().to_list():
        group = values.filter(values.str.len_bytes() == length)
        passed += int(np.count_nonzero(check(digits(group, length))))
    return passed / len(values) if len(values) else 0.0


def luhn(number: Any) -> Any:
    """The Luhn checksum (ISO/IEC 7812-1)."""
    doubled = number[:, ::-1].copy()
    doubled[:, 1::2] = doubled[:, 1::2] * 2
    return (doubled // 10 + doubled % 10).sum(axis=1) % 10 == 0


def ssn(number: Any) -> Any:
    """The rules of a US Social Security number: area not 000, 666 or 9xx, group not 00, serial not 0000."""
    area = number[:, :3] @ np.array([100, 10, 1])
    group, serial = number[:, 3:5] @ np.array([10, 1]), number[:, 5:9] @ np.array([1000, 100, 10, 1])
    return (area > 0) & (area != 666) & (area < 900) & (group > 0) & (serial > 0)


def nanp(number: Any) -> Any:
    """The North American numbering plan: area code and exchange begin with 2 to 9, and are no service code (N11)."""
    service = (number[:, 1] == 1) & (number[:, 2] == 1)
    return (number[:, 0] >= 2) & (number[:, 3] >= 2) & ~service


def nhs(number: Any) -> Any:
    """The modulus 11 check of a UK National Health Service number (10 digits)."""
    return _weighted(number, [10, 9, 8, 7, 6, 5, 4, 3, 2], 11, lambda rest: (11 - rest) % 11)


def pesel(number: Any) -> Any:
    """The check of a Polish PESEL (11 digits), whose first six are a date."""
    month = number[:, 2:4] @ np.array([10, 1]) % 20
    dated = (month >= 1) & (month <= 12)
    return dated & _weighted(number, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3], 10, lambda rest: (10 - rest) % 10)


def bsn(number: Any) -> Any:
    """The eleven test of a Dutch citizen service number (9 digits)."""
    return (number @ np.array([9, 8, 7, 6, 5, 4, 3, 2, -1])) % 11 == 0


def cpf(number: Any) -> Any:
    """The two check digits of a Brazilian CPF (11 digits)."""
    first = number[:, :9] @ np.arange(10, 1, -1) * 10 % 11 % 10
    second = number[:, :10] @ np.arange(11, 1, -1) * 10 % 11 % 10
    return (first == number[:, 9]) & (second == number[:, 10])


def aadhaar(number: Any) -> Any:
    """The Verhoeff check of an Indian Aadhaar number (12 digits, the first not 0 or 1)."""
    state = np.zeros(len(number), dtype=np.int64)
    for place, column in enumerate(number[:, ::-1].T):
        state = _VERHOEFF_D[state, _VERHOEFF_P[place % 8, column]]
    return (state == 0) & (number[:, 0] >= 2)


def insee(number: Any) -> Any:
    """The modulus 97 check of a French NIR (15 digits)."""
    body = number[:, :13] @ (10 ** np.arange(12, -1, -1, dtype=np.int64))
    return ((97 - body % 97) == number[:, 13] * 10 + number[:, 14]) & np.isin(number[:, 0], (1, 2))


def personnummer(number: Any) -> Any:
    """The Luhn check of a Swedish personal number (10 digits), whose first six are a date."""
    month, day = number[:, 2:4] @ np.array([10, 1]), number[:, 4:6] @ np.array([10, 1])
    return (month >= 1) & (month <= 12) & (day >= 1) & (day <= 91) & luhn(number)


def steuer_id(number: Any) -> Any:
    """The ISO 7064 MOD 11,10 check of a German tax identification number (11 digits)."""
    product = np.full(len(number), 10)
    for column in number[:, :10].T:
        total = (column + product) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    return (11 - product) % 10 == number[:, 10]


def _weighted(number: Any, weights: list[int], modulus: int, expect: Callable[[Any], Any]) -> Any:
    return expect(number[:, : len(weights)] @ np.array(weights) % modulus) == number[:, len(weights)]


def iban(value: str) -> bool:
    """The modulus 97 check of an IBAN (ISO 13616), written without spaces."""
    moved = value[4:] + value[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def dni(value: str) -> bool:
    """The letter of a Spanish DNI or NIE."""
    body = value[:-1].replace("X", "0", 1).replace("Y", "1", 1).replace("Z", "2", 1)
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23] == value[-1]
