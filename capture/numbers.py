"""Telephone numbers: one form for comparing them.

Japan's national form is the reference: `+81 3-1234-5678` and `03-1234-5678` are one line. No numbering plan is applied.
"""

import re
from functools import lru_cache

_SEPARATORS = re.compile(r"[\s().\-\u2010-\u2015\u2212]")
_DIALLABLE = re.compile(r"\+?[0-9A-Da-d*#().\-\s\u2010-\u2015\u2212]+")
_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_COUNTRY_CODE = "+81"


@lru_cache(maxsize=65536)
def canonical(number: str) -> str:
    """The form for matching: no visual separators (RFC 3966 section 5.1.1), no parameters, `+81` as `0`.

    Takes bare numbers, user parts, and sip, sips and tel URIs; what is no number keeps its letters, in lower case.
    """
    user = _SCHEME.sub("", number.strip(), count=1).partition("@")[0].partition(";")[0].strip()
    if not _DIALLABLE.fullmatch(user):
        return user.lower()
    if user.startswith(_COUNTRY_CODE):
        # The trunk zero that some write in brackets, +81-(0)3, is not dialled after the country code.
        return "0" + _SEPARATORS.sub("", user.removeprefix(_COUNTRY_CODE).replace("(0)", "", 1)).removeprefix("0")
    return _SEPARATORS.sub("", user)
