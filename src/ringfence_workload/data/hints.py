"""What a column's name hints at. A hint alone decides nothing: the values have to look the part."""

from __future__ import annotations

import re
import unicodedata

_SPLIT = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Words after which a column measures or describes the thing that its name mentions: `phone_count`, `email_verified`.
_ABOUT = frozenset(["count", "counts", "total", "totals", "num", "flag", "is", "has", "was", "verified", "type", "kind", "status", "version", "score", "rate", "ratio", "amount", "price", "cost", "fee", "balance", "size", "length", "len", "duration", "minutes", "seconds", "hours", "days", "weeks", "months", "avg", "mean", "std", "median", "min", "max", "sum", "pct", "percent", "percentage", "share", "level", "index", "rank", "risk", "class", "category", "group", "quality", "bool", "enabled", "active", "optin", "consent", "valid", "method"])

_PHRASES: dict[str, tuple[str, ...]] = {
    "SSN": ("ssn", "social security", "social sec", "socialsecuritynumber", "soc sec"),
    "NATIONAL_ID": ("national id", "nationalid", "nino", "nhs", "national insurance", "dni", "nie", "nif", "cpf", "pesel",
                    "aadhaar", "aadhar", "codice fiscale", "codicefiscale", "personnummer", "passport", "tax id", "taxid",
                    "tin", "itin", "nir", "bsn", "curp", "rut", "cnp", "id card", "identity number", "driver license",
                    "drivers license", "driving licence", "license number", "sin", "insee", "steuer id", "steuernummer",
                    "rodne cislo", "egn", "oib", "ahv", "medicare number", "medicare no"),
    "MEDICAL_RECORD_NUMBER": ("mrn", "medical record", "medical rec", "patient id", "patientid", "patient no",
                              "patient num", "patient number", "pat id", "patid", "pat no", "chart no", "chart number",
                              "chart id", "hospital number", "hospital no", "subject id", "medrec", "mrnumber", "nhc",
                              "patienten id", "patientennummer", "case number", "hadm id", "health record", "emr id",
                              "ehr id", "person id", "participant id"),
    "ACCOUNT_NUMBER": ("account number", "account no", "account num", "account", "acct", "acctno", "acct no", "acct num",
                       "konto", "kontonummer", "cuenta", "compte", "routing number", "policy number", "policy no",
                       "member id", "member number", "member no", "insurance id", "insurance number", "customer id",
                       "customer number", "client number", "beneficiary number", "subscriber id", "sort code", "health plan"),
    "CREDIT_CARD": ("credit card", "creditcard", "card number", "card no", "card num", "cc number", "cc num", "ccnum", "pan",
                    "debit card", "cardnumber", "kreditkarte", "tarjeta", "carte bancaire"),
    "IBAN": ("iban",),
    "EMAIL": ("email", "e mail", "mail", "correo", "courriel", "mailadresse", "emailaddress"),
    "PHONE": ("phone", "telephone", "tel", "mobile", "cell", "cellphone", "fax", "telefon", "telefono", "handy", "movil",
              "portable", "phonenumber", "contact number", "contact no", "msisdn", "telefoon", "telefone", "rufnummer",
              "pager", "whatsapp", "phones"),
    "ADDRESS": ("address", "addr", "street", "residence", "anschrift", "adresse", "direccion", "indirizzo", "strasse",
                "domicilio", "rue", "endereco", "adres", "address1", "address2", "home address"),
    "IP_ADDRESS": ("ip", "ip address", "ipaddress", "ip addr", "ipaddr", "ipv4", "ipv6", "client ip", "remote addr"),
    "MAC_ADDRESS": ("mac", "mac address", "macaddress", "mac addr", "bssid"),
    "DEVICE_ID": ("device id", "deviceid", "imei", "imsi", "serial", "serial number", "serial no", "udid", "android id",
                  "advertising id", "idfa", "gaid", "meid", "iccid", "implant serial", "device serial", "hardware id",
                  "device identifier", "vin", "license plate", "plate number", "kennzeichen"),
    "USERNAME": ("username", "user name", "login", "handle", "screen name", "nick", "nickname", "userid", "user id",
                 "benutzername", "usuario", "login name", "account name", "twitter", "instagram", "github", "alias"),
    "URL": ("url", "website", "homepage", "web page", "webpage", "profile", "link", "linkedin", "facebook", "site"),
    "DATE_OF_BIRTH": ("dob", "birth", "birthdate", "birth date", "date of birth", "dateofbirth", "birthday", "born",
                      "geburtsdatum", "geburtstag", "geb datum", "fecha nacimiento", "fecha de nacimiento", "nacimiento",
                      "date naissance", "naissance", "data nascita", "nascita", "nascimento", "yob", "birth year",
                      "geboortedatum", "bday", "d o b"),
    "AGE": ("age", "alter", "edad", "eta", "idade", "leeftijd", "anchor age", "age years", "years old"),
    "SEX": ("sex", "gender", "geschlecht", "sexo", "sexe", "sesso", "geslacht", "kon", "genero"),
    "POSTCODE": ("zip", "zipcode", "zip code", "postcode", "post code", "postal", "postalcode", "postal code", "plz",
                 "postleitzahl", "codigo postal", "code postal", "cap", "postnummer", "pincode", "pin code", "cep", "eircode"),
    "CITY": ("city", "town", "municipality", "stadt", "wohnort", "ciudad", "ville", "citta", "birthplace", "village",
             "place of birth", "hometown", "cidade", "gemeinde", "localidad", "suburb", "plaats", "geburtsort"),
    "COUNTRY": ("country", "nation", "nationality", "citizenship", "land", "pais", "pays", "paese", "country code",
                "staatsangehorigkeit", "nacionalidad", "birth country"),
    "GEO": ("lat", "latitude", "lon", "lng", "long", "longitude", "geo", "coordinates", "coords", "geohash", "gps", "latlon",
            "latlng", "location", "breitengrad", "langengrad"),
    "REGION": ("region", "province", "county", "district", "canton", "bundesland", "kreis", "state", "provincia", "neighborhood",
               "neighbourhood", "borough", "departement", "comunidad", "kanton", "census tract", "us state", "area"),
    "FREE_TEXT": ("note", "notes", "comment", "comments", "text", "remark", "remarks", "narrative", "message", "free text",
                  "freetext", "bemerkung", "summary", "complaint", "observations", "report", "feedback", "transcript"),
}
_PERSON = frozenset(["first", "last", "middle", "given", "family", "full", "maiden", "patient", "person", "customer", "client", "employee", "doctor", "physician", "nurse", "provider", "contact", "holder", "owner", "student", "teacher", "author", "guardian", "spouse", "kin", "emergency", "beneficiary", "insured", "applicant", "driver", "passenger", "guest", "tenant", "legal", "preferred", "birth", "father", "mother", "parent", "child", "manager", "supervisor", "clinician", "surgeon", "recipient", "sender", "cardholder", "signatory", "subscriber", "borrower", "buyer", "seller", "donor", "witness", "relative"])
_NAME_WORDS = frozenset(["name", "names", "nombre", "nom", "nome", "naam", "nachname", "vorname", "surname", "forename", "firstname", "lastname", "fname", "lname", "fullname", "apellido", "apellidos", "prenom", "cognome", "familienname", "achternaam", "voornaam", "sobrenome", "patientname", "mothersmaidenname", "nombres"])
_STRONG_NAMES = _NAME_WORDS - {"name", "names", "nombre", "nom", "nome", "naam"}
_ROLES = frozenset(["physician", "doctor", "nurse", "surgeon", "clinician", "patient", "employee", "manager", "teacher", "author", "spouse", "beneficiary", "attending", "provider", "signatory", "cardholder"])


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
    found = {kind for kind, phrases in _PHRASES.items() if any(f" {phrase} " in spaced for phrase in phrases)}
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
