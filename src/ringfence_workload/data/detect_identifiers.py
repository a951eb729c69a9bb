"""Detectors of direct identifiers: each takes a column and returns what it found, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from ringfence_workload.data import checks
from ringfence_workload.data.column import Column, Match
from ringfence_workload.data.dictionary import known
from ringfence_workload.data.hints import words_of

ENOUGH = 30  # distinct values, for a rule that chance would pass in one of a few
EMAIL = r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
PHONE_WRITTEN = (r"^(?:\+|00)?[(]?\+?\d[\d\s().\-/]{5,20}\d(?:\s?(?:x|ext\.?|#)\s?\d{1,6})?$")
_STREET = (
    r"(?i)\b(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|way|court|ct|place|pl|square|sq|terrace"
    r"|circle|cir|parkway|pkwy|highway|hwy|close|crescent|apt|suite|apartment|unit|p\.? ?o\.? box|rue|chemin|impasse"
    r"|quai|allée|cours|calle|camino|callejón|glorieta|rambla|ronda|cuesta|acceso|avenida|av|plaza|paseo|via|viale"
    r"|piazza|corso|vicolo|strada|contrada|borgo|largo|rua|travessa|alameda|praça|rodovia|vila|straat|laan|weg|kade"
    r"|plein|gata|gatan|vägen|vej|platz|allee|ring|damm|ufer|ulica|ul|aleja|al|plac|os|marg|nagar|flat|studio)\b"
    r"|(?:straße|strasse|str\.|weg|gasse|platz|allee|straat|laan|dreef|hof|gatan|vägen|torget|stigen|vej)(?:\s|$)")
_NUMBERED = (r"^\p{L}[\p{L}.'’ \-]+,? \d{1,4}[a-zA-Z]?(?:[/\-]\d+)?(?:,? .*)?$"
             r"|^\d{1,5}[a-zA-Z]?(?:/\d+)?,? \p{L}[\p{L}.'’ \-]+\d{0,6}(?:,.*)?$")
_US_TAIL = r",? [A-Z]{2},? \d{5}(?:-\d{4})?$"
_COMPANY = (r"(?i)\b(?:inc|llc|ltd|gmbh|gbr|kg|plc|ag|se|corp|group|sons|co|company|hospital|clinic|university|bank"
            r"|sa|srl|sarl|sas|bv|nv|ab|hb|as|aps|oy|ltda|pty|pte|tbk|fils|figli|hijos|söhne)\b|[&/]|\.\w\."
            r"| (?:and|et|und|och|og|y|e|és) ")
_TITLE = r"^(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme)\.? "
_NAME_FORM = (r"^(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sr|Sra|Herr|Frau|Mme|M)\.? )?[\p{L}][\p{L}'’.\-]*"
              r"(?:,? [\p{L}][\p{L}'’.\-]*){0,5}$")
_PERSON_PAGE = (r"(?i)/(?:~|in/|u/|users?/|profiles?|people/|members?/|author/|@)|facebook\.com/|twitter\.com/"
                r"|//x\.com/|instagram\.com/|github\.com/|linkedin\.com/|tiktok\.com/")
_CARD = r"^[1-6]\d{3}(?:[ -]?\d{4}){2}(?:[ -]?\d{1,7})?$|^3\d{3}[ -]?\d{6}[ -]?\d{4,5}$|^[1-6]\d{11,18}$"
_NO_PHONE = r"^\d{3}-\d{2}-\d{4}$|^\d+(?:\.\d+){3}$|^\d{4}-\d\d-\d\d"


def email(column: Column) -> Match | None:
    """E-mail addresses."""
    share = column.share(f"^{EMAIL}$")
    return Match("EMAIL", min(0.99, share), _said(share, "are e-mail addresses")) if share >= 0.5 else None


def ip_address(column: Column) -> Match | None:
    """IPv4 and IPv6 addresses; not versions, whose parts are small."""
    octet = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
    four, six = column.share(rf"^{octet}(?:\.{octet}){{3}}(?:/\d\d?)?$"), column.share(r"^[0-9A-Fa-f:]*:[0-9A-Fa-f:]+$")
    six = six if column.share(r"(?:[0-9A-Fa-f]*:){3,}|::") >= 0.9 else 0.0
    if four + six < 0.8 or column.share(r"^(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$|^\d{1,2}(?::\d{2}){1,3}$") > 0.2:
        return None
    large = column.sample.str.extract_all(r"\d+").list.eval(pl.element().cast(pl.Int64, strict=False)).list.max()
    if four > 0.8 and not column.hinted("IP_ADDRESS") and not float((large > 60).mean() or 0) > 0.5:
        return None
    return Match("IP_ADDRESS", min(0.98, four + six), _said(four + six, "are IP addresses"))


def mac_address(column: Column) -> Match | None:
    """MAC addresses."""
    share = column.share(r"^(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$|^(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}$")
    return Match("MAC_ADDRESS", min(0.98, share), _said(share, "are MAC addresses")) if share >= 0.8 else None


def url(column: Column) -> Match | None:
    """URLs that name a person's page."""
    if column.share(r"^(?:https?://|www\.)\S+$") < 0.8:
        return None
    share = column.share(_PERSON_PAGE)
    if share >= 0.3 or {"profile", "linkedin", "homepage"}.intersection(words_of(column.name)):
        return Match("URL", 0.85, _said(share, "are pages of people"))
    return None


def iban(column: Column) -> Match | None:
    """IBANs, by their check digits."""
    plain = column.sample.str.replace_all(" ", "").str.to_uppercase()
    plain = plain.filter(plain.str.contains(r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$"))
    if len(plain) < 0.8 * len(column.sample):
        return None
    share = sum(map(checks.iban, plain)) / max(1, len(plain))
    return Match("IBAN", min(0.99, share), _said(share, "pass the IBAN check")) if share >= 0.7 else None


def credit_card(column: Column) -> Match | None:
    """Payment card numbers, by the Luhn check and the issuer's first digits."""
    plain = _digits_only(column, _CARD)
    if plain is None:
        return None
    share = checks.by_length(plain, checks.luhn)
    if share < (0.5 if column.hinted("CREDIT_CARD") else 0.85) or len(plain) < 4:
        return None
    return Match("CREDIT_CARD", 0.97, _said(share, "are card numbers that pass the Luhn check"))


def ssn(column: Column) -> Match | None:
    """US Social Security numbers, written with dashes or as digits, leading zeros lost where stored as integers."""
    hinted = column.hinted("SSN")
    dashed = _digits_only(column, r"^\d{3}[- ]\d{2}[- ]\d{4}$")
    if dashed is not None:
        share = checks.by_length(dashed, checks.ssn)
        return Match("SSN", 0.98 if hinted else 0.93, _said(share, "are valid US numbers")) if share > 0.7 else None
    plain = _digits_only(column, r"^\d{7,9}(?:\.0)?$" if hinted else r"^\d{8,9}$")
    if plain is None:
        return None
    padded = plain.str.replace(r"\.0$", "").str.zfill(9)
    share = checks.by_length(padded, checks.ssn)
    if hinted and share > 0.7:
        return Match("SSN", 0.95, _said(share, "are valid as US numbers without dashes"))
    nine = float((plain.str.len_bytes() == 9).mean() or 0)
    if len(plain) >= 2 * ENOUGH and share == 1.0 and nine > 0.75 and _spread(padded, 3, 0.1) and _unordered(column):
        return Match("SSN", 0.6, "all values are nine digits that obey the rules of US numbers, over many areas")
    return None


def phone(column: Column) -> Match | None:
    """Phone numbers: as written, with an extension, or as ten digits of the North American plan."""
    hinted = column.hinted("PHONE")
    written = column.sample.filter(column.sample.str.contains(PHONE_WRITTEN))
    count = written.str.count_matches(r"\d")
    share = float((count >= 7).sum()) / max(1, len(column.sample))
    punctuated = column.share(r"^\+|[()]|\d[\-. /]\d+[\-. ]\d|x\d+$")
    if hinted and share >= 0.5:
        return Match("PHONE", 0.96, _said(share, "are phone numbers"))
    if column.kind in {"date", "datetime"} or column.share(_NO_PHONE) > 0.3:
        return None
    telling = column.share(r"^\+\d|^\(?\d{3}\)?[ .\-]?\d{3}[ .\-]\d{4}|^00[1-9]|x\d+$|^0\d{1,4}[ /\-]\d|^\(0?\d+\)")
    if share >= 0.8 and ((punctuated >= 0.8 and telling >= 0.5) or (share >= 0.9 and telling >= 0.25)):
        return Match("PHONE", 0.9, _said(share, "are written like phone numbers"))
    return _bare_phone(column)


def _bare_phone(column: Column) -> Match | None:
    plain = _digits_only(column, r"^1?[2-9]\d{9}$")
    if plain is None or len(plain) < ENOUGH:
        return None
    tail = plain.str.tail(10)
    if checks.by_length(tail, checks.nanp) > 0.995 and _spread(tail, 3, 0.1) and _unordered(column):
        return Match("PHONE", 0.65, "all values are ten digits of the North American numbering plan")
    return None


def national_id(column: Column) -> Match | None:
    """National identity and tax numbers of several countries, by form and check digit."""
    if column.share(r"^[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]$") > 0.9:
        return Match("NATIONAL_ID", 0.95, "the values have the form of UK National Insurance numbers")
    if column.share(r"^(?i)[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]$") > 0.9:
        return Match("NATIONAL_ID", 0.95, "the values have the form of Italian tax codes")
    spanish = column.sample.str.replace_all("[ -]", "").filter(column.sample.str.contains(r"^[XYZ\d]\d{7}[ -]?[A-Z]$"))
    if len(spanish) > 0.9 * len(column.sample) and sum(map(checks.dni, spanish)) > 0.8 * len(spanish):
        return Match("NATIONAL_ID", 0.95, "the values pass the letter check of Spanish identity numbers")
    for pattern, check, country in _NATIONAL:
        plain = _digits_only(column, pattern)
        if plain is None or len(plain) < (4 if column.hinted("NATIONAL_ID") else ENOUGH):
            continue
        share = checks.by_length(plain, check)
        if share > 0.9:
            return Match("NATIONAL_ID", 0.93, _said(share, f"pass the check of {country} numbers"))
    if column.hinted("NATIONAL_ID") and column.share(r"^(?i)[A-Z]{0,3}(?:[ ./-]?[0-9A-Z]){5,20}$") > 0.8 and (
            column.share(r"\d.*\d.*\d.*\d") > 0.8):
        return Match("NATIONAL_ID", 0.85, "the name says so, and the values look like identity numbers")
    return None


_NATIONAL: tuple[tuple[str, Callable[[Any], Any], str], ...] = (
    (r"^\d{3}[ -]?\d{3}[ -]?\d{4}$", checks.nhs, "UK NHS"),
    (r"^\d{11}$", checks.pesel, "Polish PESEL"),
    (r"^\d{3}\.?\d{3}\.?\d{3}-?\d{2}$", checks.cpf, "Brazilian CPF"),
    (r"^\d{4} ?\d{4} ?\d{4}$", checks.aadhaar, "Indian Aadhaar"),
    (r"^[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}$", checks.insee, "French NIR"),
    (r"^\d{2} ?\d{3} ?\d{3} ?\d{3}$", checks.steuer_id, "German tax"),
    (r"^\d{6}[-+]\d{4}$", checks.personnummer, "Swedish personal"),
    (r"^\d{9}$", checks.bsn, "Dutch citizen service"),
    (r"^\d{3}[ -]\d{3}[ -]\d{3}$", checks.luhn, "Canadian social insurance"),
)


def record_number(column: Column) -> Match | None:
    """Medical record, account, device and user identifiers: the name hints, and the values could be one."""
    if column.share(r"^(?i)(?:MRN|PAT|PT)[-_:# ]?\d{4,}$") > 0.8:
        return Match("MEDICAL_RECORD_NUMBER", 0.93, "the values begin with MRN or PAT")
    imei = _digits_only(column, r"^(?:35|01|86|99|45|49)\d{13}$")
    if imei is not None and len(imei) >= 4 and checks.by_length(imei, checks.luhn) > 0.9:
        return Match("DEVICE_ID", 0.93, "the values pass the check of IMEIs")
    if column.kind in {"number", "date", "datetime", "boolean"} and column.share(r"^\d+\.0$") < 0.9:
        return None
    for kind, least, pattern in _RECORDS:
        if column.hinted(kind) and column.share(pattern) > 0.8 and _identifying(column, least):
            return Match(kind, 0.92, "the name says so, and nearly every value is a code of its own")
    return None


_RECORDS = (
    ("MEDICAL_RECORD_NUMBER", 3, r"^(?i)[A-Z]{0,5}[-_:#. ]?[0-9][0-9A-Z./_ -]{1,24}(?:\.0)?$|^[0-9a-fA-F-]{32,36}$"),
    ("ACCOUNT_NUMBER", 5, r"^(?i)[A-Z]{0,6}[-_:#. ]?[0-9X*][0-9A-Z*./_ -]{3,30}$"),
    ("DEVICE_ID", 5, r"^(?i)[0-9A-Z][0-9A-Z./:_ -]{4,63}$"),
    ("USERNAME", 3, r"^@?[\p{L}0-9][\p{L}0-9._\-]{2,31}\d*$"),
)


def person_name(column: Column) -> Match | None:
    """Names of people: by the column's name, or by given names and surnames that are known."""
    if not column.is_text or column.share(_NAME_FORM) < 0.6 or column.share(_COMPANY) > 0.2:
        return None
    if column.hinted("PERSON_NAME") and len(column.sample) >= 2:
        return Match("PERSON_NAME", 0.95, "the name says so, and the values are made of words like names")
    return _several_words(column) if column.share(r"[ ,]") > 0.7 else _one_word(column)


def _several_words(column: Column) -> Match | None:
    plain = column.sample.str.replace(_TITLE, "")
    given = known(plain.str.extract(r"^([^\s,]+)"), "given_names")
    swapped = known(plain.str.extract(r"^[^,]+, ?([^\s,]+)"), "given_names") | (
        known(plain.str.extract(r"^([^\s,]+)"), "surnames")
        & known(plain.str.extract(r"^[^\s,]+ ([^\s,]+)"), "given_names"))
    share = float((given | swapped).mean() or 0)
    both = float(((given & known(plain.str.extract(r"([^\s,]+)$"), "surnames")) | swapped).mean() or 0)
    if column.hinted("NAME", "USERNAME") and share > 0.05:
        return Match("PERSON_NAME", 0.93, _said(share, "begin with a known given name"))
    if (share > 0.3 and both > 0.12 and len(plain) >= 3) or (share > 0.1 and len(plain) >= ENOUGH):
        return Match("PERSON_NAME", 0.7 + 0.2 * share, _said(share, "begin with a known given name"))
    if column.hinted("NAME") and column.share(r"^\p{Lu}[\p{L}'’\-]+(?: \p{Lu}[\p{L}'’.\-]*){1,2}$") > 0.9:
        return Match("PERSON_NAME", 0.6, "the name may say so, and the values are two or three capitalised words")
    return None


def _one_word(column: Column) -> Match | None:
    share = float(known(column.sample.str.extract(r"([^\s,]+)$"), "given_names", "surnames").mean() or 0)
    if (column.hinted("NAME", "USERNAME") and share > 0.2) or (share > 0.6 and len(column.sample) >= 8):
        return Match("PERSON_NAME", 0.75 + 0.2 * column.hinted("NAME"), _said(share, "are known names of people"))
    return None


def address(column: Column) -> Match | None:
    """Postal addresses."""
    if not column.is_text:
        return None
    flat = column.sample.str.replace_all(r"\s+", " ")
    house = flat.str.contains(r"\d") & (flat.str.contains(_STREET) | flat.str.contains(_US_TAIL))
    box = flat.str.contains(r"\b(?:APO|FPO|DPO) A[AEP] \d{5}$")
    short = flat.str.len_chars().is_between(6, 160)
    share = float(((house | box) & short).mean() or 0)
    numbered = float((flat.str.contains(r"\p{L}{3}") & flat.str.contains(r"\d") & short).mean() or 0)
    if column.hinted("ADDRESS") and (share > 0.2 or numbered > 0.5):
        return Match("ADDRESS", 0.95, _said(max(share, numbered), "hold a number and words as addresses do"))
    if share > 0.7 and float((flat.str.len_chars() > 90).mean() or 0) < 0.2:
        return Match("ADDRESS", 0.88, _said(share, "hold a house number and a street, or a state and its code"))
    words = flat.str.replace_all(r"[^\p{L} ]", "").str.strip_chars()
    form = float((house | box | flat.str.contains(_NUMBERED)).mean() or 0)
    if form > 0.8 and len(flat) >= ENOUGH and words.n_unique() > 0.6 * len(flat):
        return Match("ADDRESS", 0.65, _said(form, "are a number and words that rarely return, as of houses"))
    return None


def _digits_only(column: Column, pattern: str) -> pl.Series | None:
    """Return the sample's values of that form, without separators, where at least nine in ten have it."""
    matching = column.sample.filter(column.sample.str.contains(pattern))
    if not len(matching) or len(matching) < 0.9 * len(column.sample):
        return None
    return matching.str.replace(r"\.0$", "").str.replace_all(r"\D", "")


def _spread(values: pl.Series, prefix: int, share: float) -> bool:
    """Say whether the values begin in many ways: numbers handed out in order do not."""
    return bool(values.str.head(prefix).n_unique() > min(60, share * len(values) + 5))


def _unordered(column: Column) -> bool:
    numbers = column.raw.head(20_000).cast(pl.Int64, strict=False).drop_nulls()
    return not (numbers.is_sorted() or numbers.is_sorted(descending=True))


def _identifying(column: Column, least: int) -> bool:
    """Say whether the values tell rows apart: many different ones, long enough to be codes."""
    long_enough = float((column.sample.str.len_chars() >= least).mean() or 0) > 0.8
    return long_enough and (len(column.distinct) > 20 or len(column.distinct) > 0.5 * column.rows)


def _said(share: float, what: str) -> str:
    return f"{share:.0%} of the different values {what}"


_WORDS = (email, mac_address, ip_address, iban, url, address, person_name)
_NUMBERS = (ssn, credit_card, national_id, phone)


def detect(column: Column) -> list[Match]:
    """Ask every detector that can find something in a column of this type."""
    asked: list[Callable[[Column], Match | None]] = [record_number]
    if column.kind == "text":
        asked += [*_WORDS, *_NUMBERS]
    elif not column.is_short_number:
        asked += _NUMBERS
    return [match for ask in asked if (match := ask(column))]
