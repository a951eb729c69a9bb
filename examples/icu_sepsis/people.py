"""Invented patients: names from Faker, numbers that are unique, ages as an intensive-care unit sees them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OLDEST, YOUNGEST = 1920, 2005
REGIONS = {"Capital": 0.26, "Lakeside": 0.20, "River Valley": 0.17, "North Coast": 0.14, "South Plain": 0.11,
           "Highlands": 0.06, "Borderland": 0.04, "Islands": 0.02}
MAIL_HOSTS = ("example.org", "example.com", "example.net")  # reserved: no one's mailbox (RFC 2606)
NOTES = (
    "{title} {last} reviewed on round {round}; {who} stable, family phoned on {phone}.",
    "{name} (MRN {mrn}) febrile overnight. Lactate repeated; {title} {last} consents to line change.",
    "Spoke with {kin}, next of kin of {name}, about goals of care. Call back: {phone}.",
    "{title} {last} moved to bay {bay}; infusion pump set to programme {dose}.",
    "Handover: {name}, born {born}, septic shock, {who} tolerates dose {dose}.",
    "Pharmacy asked to confirm allergies of {name}, MRN {mrn}. Discharge letter to {email}.",
    "{first} is awake and asks for {kin}. Mean arterial pressure improving.",
    "No change in {title} {last} since round {round}; cultures pending.",
)


class Person(NamedTuple):
    """One invented patient; `identity` holds the CSV's first eight columns."""

    identity: tuple[str, ...]
    first: str
    last: str
    title: str
    kin: str


def invent(count: int, seed: int, random: np.random.Generator) -> list[Person]:
    """Return `count` patients with distinct record numbers, social security numbers, phones and e-mail addresses."""
    pools = _pools(seed)
    titles = random.choice(["Mr.", "Ms."], count).tolist()
    firsts = [pools[title][index] for title, index in zip(titles, random.integers(0, 1000, count), strict=True)]
    lasts, kins = (_pick(pools[pool], count, random) for pool in ("last", "kin"))
    streets, cities = (_pick(pools[pool], count, random) for pool in ("street", "city"))
    houses, postcodes = random.integers(1, 990, count), random.integers(10_000, 99_951, count)
    regions = random.choice(list(REGIONS), count, p=list(REGIONS.values())).tolist()
    records = random.choice(90_000_000, count, replace=False) + 10_000_000
    identities = zip(
        map(" ".join, zip(firsts, lasts, strict=True)), map(str, records), _social_security(count, random),
        _birth_dates(count, random),
        (f"{house} {street}, {city} {code}"
         for house, street, city, code in zip(houses, streets, cities, postcodes, strict=True)),
        regions, _phones(count, random), _mails(firsts, lasts, random), strict=True)
    return [Person(*parts) for parts in zip(identities, firsts, lasts, titles, kins, strict=True)]


def note(person: Person, step: int, action: int, variant: int) -> str:
    """Return what a nurse might have typed about `person` at this step."""
    name, record, _, born, _, _, phone, mail = person.identity
    return NOTES[variant % len(NOTES)].format(
        name=name, first=person.first, last=person.last, title=person.title, kin=person.kin, mrn=record, born=born,
        phone=phone, email=mail, who="she" if person.title == "Ms." else "he", round=step + 1,
        bay=1 + variant // 8 % 24, dose=action)


def _pools(seed: int) -> dict[str, list[str]]:
    from faker import Faker  # here, so that a missing package is an error of the call

    fake = Faker("en_US")
    fake.seed_instance(seed)
    makers = {"Ms.": fake.first_name_female, "Mr.": fake.first_name_male, "last": fake.last_name,
              "kin": fake.name, "street": fake.street_name, "city": fake.city}
    return {pool: [make() for _ in range(1000)] for pool, make in makers.items()}


def _pick(pool: list[str], count: int, random: np.random.Generator) -> list[str]:
    return [pool[index] for index in random.integers(0, len(pool), count)]


def _birth_dates(count: int, random: np.random.Generator) -> list[str]:
    years = np.empty(0, np.int64)
    while len(years) < count:  # most patients are old, a few very old, a few young
        mean, spread = np.where(random.random((count, 1)) < 0.85, (1957, 13), (1980, 11)).T
        drawn: NDArray[np.int64] = np.rint(random.normal(mean, spread)).astype(np.int64)
        years = np.concatenate([years, drawn[(drawn >= OLDEST) & (drawn <= YOUNGEST)]])
    days = random.integers(0, 365, count)
    return [(date(year, 1, 1) + timedelta(days=day)).isoformat()
            for year, day in zip(years[:count].tolist(), days.tolist(), strict=True)]


def _social_security(count: int, random: np.random.Generator) -> list[str]:
    # Areas 001 to 665, groups 01 to 99, serials 0001 to 9999: the form of a real one, drawn without repetition.
    drawn = random.choice(665 * 99 * 9999, count, replace=False)
    return [f"{1 + n // (99 * 9999):03d}-{1 + n // 9999 % 99:02d}-{1 + n % 9999:04d}" for n in drawn.tolist()]


def _phones(count: int, random: np.random.Generator) -> list[str]:
    # Exchange 555 of every area 200 to 989.
    drawn = random.choice(790 * 10_000, count, replace=False)
    return [f"({200 + n // 10_000}) 555-{n % 10_000:04d}" for n in drawn.tolist()]


def _mails(firsts: list[str], lasts: list[str], random: np.random.Generator) -> list[str]:
    suffixes = random.permutation(len(firsts)).tolist()
    return [f"{first}.{last}{suffix}@{MAIL_HOSTS[suffix % len(MAIL_HOSTS)]}".lower().replace(" ", "")
            for first, last, suffix in zip(firsts, lasts, suffixes, strict=True)]
