"""What identifies people is found, by name or without one; what only looks like it is not."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faker import Faker

from tests.data_tasks import DataTasks
from tests.fences import CHECKOUT, ENVIRONMENTS

ROWS = 200
DIRECT = {"PERSON_NAME", "EMAIL", "PHONE", "SSN", "NATIONAL_ID", "CREDIT_CARD", "IBAN", "ACCOUNT_NUMBER", "ADDRESS",
          "MEDICAL_RECORD_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "DEVICE_ID", "USERNAME", "URL", "FREE_TEXT"}


def table(columns: dict[str, list[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue().encode()


def classified(tasks: DataTasks, columns: dict[str, Callable[[], Any]]) -> dict[str, dict[str, Any]]:
    found = tasks.classify(table({name: [make() for _ in range(ROWS)] for name, make in columns.items()}))
    assert [finding["name"] for finding in found] == list(columns)
    return {finding["name"]: finding for finding in found}


def makers(locale: str) -> tuple[Faker, random.Random]:
    faker = Faker(locale)
    faker.seed_instance(4711)
    return faker, random.Random(4711)


@pytest.mark.parametrize("locale", ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "sv_SE"])
def test_identities_are_found_though_no_name_tells(tasks: DataTasks, locale: str) -> None:
    faker, _ = makers(locale)
    found = classified(tasks, {
        "c1": faker.name, "c2": lambda: f"{faker.last_name()}, {faker.first_name()}", "c3": faker.email,
        "c4": faker.phone_number, "c5": lambda: faker.address().replace("\n", ", "), "c6": faker.iban,
        "c7": faker.ipv4, "c8": faker.ipv6, "c9": faker.mac_address, "c10": faker.credit_card_number})
    assert [finding["type"] for finding in found.values()] == [
        "PERSON_NAME", "PERSON_NAME", "EMAIL", "PHONE", "ADDRESS", "IBAN", "IP_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS",
        "CREDIT_CARD"]


def test_identities_are_found_by_name_and_form(tasks: DataTasks) -> None:
    faker, chance = makers("en_US")
    found = classified(tasks, {
        "mrn": lambda: chance.randrange(10**6, 10**7), "PatientID": lambda: f"P-{chance.randrange(10**5, 10**6)}",
        "account_number": lambda: chance.randrange(10**9, 10**10), "login": faker.user_name,
        "imei": lambda: chance.randrange(10**14, 10**15), "ssn": lambda: int(faker.ssn().replace("-", "")),
        "mobile": lambda: int("2" + str(chance.randrange(10**8, 10**9))), "dateOfBirth": faker.date_of_birth,
        "age": lambda: chance.randrange(100), "sex": lambda: chance.choice("MF"), "zip": faker.postcode,
        "city": faker.city, "nationality": faker.country, "latitude": lambda: chance.uniform(-90, 90),
        "region": lambda: chance.choice(["North", "South"]), "maiden_name": faker.last_name})
    assert {name: finding["type"] for name, finding in found.items()} == {
        "mrn": "MEDICAL_RECORD_NUMBER", "PatientID": "MEDICAL_RECORD_NUMBER", "account_number": "ACCOUNT_NUMBER",
        "login": "USERNAME", "imei": "DEVICE_ID", "ssn": "SSN", "mobile": "PHONE", "dateOfBirth": "DATE_OF_BIRTH",
        "age": "AGE", "sex": "SEX", "zip": "POSTCODE", "city": "CITY", "nationality": "COUNTRY", "latitude": "GEO",
        "region": "GEO", "maiden_name": "PERSON_NAME"}
    assert all(finding["sensitivity"] == ("direct_identifier" if finding["type"] in DIRECT else "quasi_identifier")
               for finding in found.values())


def test_measurements_and_counters_are_no_identifiers(tasks: DataTasks) -> None:
    _, chance = makers("en_US")
    counter = iter(range(10**9))
    found = classified(tasks, {
        "epoch": lambda: chance.randrange(1_500_000_000, 1_700_000_000),
        "millis": lambda: chance.randrange(15 * 10**11, 17 * 10**11),
        "order_id": lambda: 2_002_003_000 + next(counter), "nine_digits": lambda: chance.randrange(10**8, 10**9),
        "ten_digits": lambda: chance.randrange(10**9, 10**10), "sixteen": lambda: chance.randrange(10**15, 10**16),
        "price": lambda: round(chance.uniform(1, 999), 2), "glucose": lambda: chance.randrange(60, 400),
        "step": lambda: chance.randrange(20), "state": lambda: chance.randrange(716),
        "version": lambda: ".".join(str(chance.randrange(12)) for _ in range(4)),
        "uuid": lambda: f"{chance.getrandbits(32):08x}-12ab-4abc-8abc-{chance.getrandbits(48):012x}",
        "sku": lambda: f"AB-{chance.randrange(10**5)}",
        "icd10": lambda: f"I{chance.randrange(10, 99)}.{chance.randrange(9)}",
        "blood_pressure": lambda: f"{chance.randrange(90, 180)}/{chance.randrange(50, 100)}",
        "phone_count": lambda: chance.randrange(5), "email_verified": lambda: chance.choice(["true", "false"]),
        "drug_name": lambda: chance.choice(["aspirin", "heparin", "insulin"]),
        "dose": lambda: f"{chance.randrange(500)} mg",
        "file_name": lambda: f"report_{next(counter)}.pdf", "link": lambda: f"https://example.com/p/{next(counter)}",
        "status": lambda: chance.choice(["open", "closed"]),
        "taken_at": lambda: f"2024-0{chance.randrange(1, 9)}-11 10:00:00"})
    assert {name: finding["type"] for name, finding in found.items() if finding["sensitivity"] != "none"} == {}
    assert found["taken_at"]["type"] == "DATE"
    assert found["status"]["type"] == "CATEGORICAL"
    assert found["glucose"]["type"] == "NUMERIC"


def test_a_text_that_names_people_is_free_text(tasks: DataTasks) -> None:
    faker, _ = makers("en_US")
    found = classified(tasks, {
        "c1": lambda: f"Seen today, stable, wants to be called on {faker.phone_number()} before noon",
        "c2": lambda: f"Discussed the findings with {faker.name()} and the family at length",
        "c3": faker.sentence})
    assert [found[name]["type"] for name in ("c1", "c2")] == ["FREE_TEXT", "FREE_TEXT"]
    assert min(found["c1"]["confidence"], found["c2"]["confidence"]) > found["c3"]["confidence"]


def test_an_identifier_hidden_in_another_column_of_its_row_is_found(tasks: DataTasks) -> None:
    faker, chance = makers("en_US")
    numbers = [f"{chance.randrange(10**7, 10**8)}" for _ in range(ROWS)]
    words = [faker.word() for _ in range(ROWS)]
    keys = [f"{word}#{number}" if place % 20 == 0 else word for place, (word, number) in
            enumerate(zip(words, numbers, strict=True))]
    found = {finding["name"]: finding for finding in tasks.classify(table(
        {"mrn": numbers, "tag": keys, "plain": words, "ref": numbers}))}
    assert found["tag"]["sensitivity"] == "direct_identifier"
    assert found["ref"]["type"] == "MEDICAL_RECORD_NUMBER"
    assert found["plain"]["sensitivity"] == "none"


def test_evidence_holds_no_value(tasks: DataTasks) -> None:
    faker, _ = makers("en_US")
    columns = {"name": [faker.name() for _ in range(ROWS)], "x": [faker.email() for _ in range(ROWS)],
               "ssn": [faker.ssn() for _ in range(ROWS)], "note": [f"{faker.name()} called twice about the bill today"
                                                                     for _ in range(ROWS)]}
    evidence = json.dumps(tasks.classify(table(columns)))
    assert not [value for values in columns.values() for value in values if value in evidence]


@pytest.mark.parametrize("column", ["count", "size", "len", "literal", "index", "value", "event", "form", "text"])
def test_no_column_name_gets_in_the_way(tasks: DataTasks, column: str) -> None:
    found = tasks.classify(table({column: ["a", "b"], "mrn": [12345, 23456]}))
    assert [finding["name"] for finding in found] == [column, "mrn"]


def test_nothing_is_found_in_nothing(tasks: DataTasks) -> None:
    assert [finding["type"] for finding in tasks.classify(b"ssn,b\n,\n,\n")] == ["NONE", "NONE"]
    assert [finding["type"] for finding in tasks.classify(b"ssn,b\n")] == ["NONE", "NONE"]


def classify_command(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ENVIRONMENTS / "base/bin/python", "-m", "ringfence_workload.data.classify", str(path)],
                          capture_output=True, text=True, check=False, env={"PYTHONPATH": str(CHECKOUT / "src")})


def test_a_file_is_classified_without_a_platform(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(table({"email": ["ann@example.org", "bob@example.org"], "n": [1, 2]}))
    finished = classify_command(path)
    assert finished.returncode == 0, finished.stderr
    assert [(finding["name"], finding["type"]) for finding in json.loads(finished.stdout)["columns"]] == [
        ("email", "EMAIL"), ("n", "NUMERIC")]


@pytest.mark.parametrize(("content", "said"), [(b"a,b\n1\n", "Line 2"), (b"", "empty"), (None, "can't be opened")])
def test_a_file_that_can_not_be_classified_is_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "people.csv"
    if content is not None:
        path.write_bytes(content)
    finished = classify_command(path)
    assert finished.returncode == 2
    assert said in finished.stderr
    assert finished.stderr.count("\n") == 1
