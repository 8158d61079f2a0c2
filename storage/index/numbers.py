"""Telephone numbers as they are searched: one form for all ways to write a number. Pure.

The reference is Japan's national form: `+81 3-1234-5678`, `010-81-3-1234-5678` and `03-1234-5678` are one number; those
of other countries are kept in E.164. `184` and `186` (caller-ID control) and `1311` (split billing) go first, whatever
follows them counts. What begins with another `1` or with `00`, and what no numbering plan knows (extensions), is kept
as it is, without separators. Other text (`anonymous`, names) is kept in lower case.
"""

import re
import unicodedata
from functools import lru_cache

import phonenumbers

REGION = "JP"
_COUNTRY_CODE = 81
_COUNTRY = f"+{_COUNTRY_CODE}"
_INTERNATIONAL = "010"
"""What is dialled in Japan before a country code."""
_CONTROL_PREFIXES = ("1311", "184", "186")
_LEAST_LOCAL_DIGITS = 5
"""No shorter number is dialled behind a control prefix, save one that begins with 0: `1842` is an extension."""
_ADDRESS = re.compile("<([^<>]*)>")
_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s().\-\u2010-\u2015\u2212]")
_NATIONAL = re.compile("0[1-9][0-9]{8}|0(?!10)[1-9][0-9]{9}", re.ASCII)
"""Whole numbers of Japan, which need no look into the numbering plan: most of what comes, and all of it quickly."""
_DIALLABLE = re.compile(r"\+?[0-9*#]+")


@lru_cache(maxsize=1 << 17)
def searchable(number: str) -> str:
    """The form in which numbers are stored and compared; empty for nothing.

    Takes bare numbers, user parts, sip, sips and tel URIs, and those in angle brackets, in any notation and width.
    """
    if number.startswith(_COUNTRY) and _NATIONAL.fullmatch(national := "0" + number[len(_COUNTRY) :]):
        return national
    return number if _NATIONAL.fullmatch(number) else _searchable(number)


def _searchable(number: str) -> str:
    dialled = _without_control_prefixes(_plain(number))
    return _national(dialled) if _is_planned(dialled) else dialled


def searchable_prefix(beginning: str) -> str:
    """The same for the beginning of a number, which no numbering plan can check."""
    dialled = _without_control_prefixes(_plain(beginning))
    if dialled.startswith(_INTERNATIONAL) and dialled != _INTERNATIONAL:
        dialled = "+" + dialled.removeprefix(_INTERNATIONAL)
    return "0" + dialled.removeprefix(_COUNTRY).removeprefix("0") if dialled.startswith(_COUNTRY) else dialled


def _plain(number: str) -> str:
    """The user part without separators and parameters (RFC 3966 section 5.1.1), full-width digits narrowed."""
    narrow = unicodedata.normalize("NFKC", number).strip()
    addressed = _ADDRESS.search(narrow)
    user = _SCHEME.sub("", addressed[1] if addressed else narrow, count=1).partition("@")[0].partition(";")[0].strip()
    # The trunk zero that some write in brackets, +81-(0)3, is not dialled after the country code.
    digits = _SEPARATORS.sub("", user.replace("(0)", "", 1) if user.startswith("+") else user)
    return digits if _DIALLABLE.fullmatch(digits) else user.lower()


def _without_control_prefixes(dialled: str) -> str:
    while prefix := next((known for known in _CONTROL_PREFIXES if dialled.startswith(known)), ""):
        rest = dialled.removeprefix(prefix)
        if not (rest.startswith(("0", "+")) or len(rest) >= _LEAST_LOCAL_DIGITS) or not _DIALLABLE.fullmatch(rest):
            break
        dialled = rest
    return dialled


def _is_planned(dialled: str) -> bool:
    return not dialled.startswith(("1", "00")) and dialled.lstrip("+").isdigit()


def _national(dialled: str) -> str:
    try:
        parsed = phonenumbers.parse(dialled, REGION)
    except phonenumbers.NumberParseException:
        return dialled
    if not phonenumbers.is_possible_number(parsed):
        return searchable_prefix(dialled) if dialled.startswith("+") else dialled
    if parsed.country_code == _COUNTRY_CODE and not dialled.startswith(("0", "+")):
        return dialled  # a local number or an extension: the area code that it lacks is not known
    if parsed.country_code == _COUNTRY_CODE:
        return "0" + phonenumbers.national_significant_number(parsed)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
