"""Name-addresses of SIP headers: From, To, Contact, P-Asserted-Identity, Diversion, Refer-To (RFC 3261 section 20.10).

Reads what is there and never raises: a broken address yields empty parts. No DNS, no URI comparison, no number rules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_QUOTED = re.compile(r'[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PARAMETER_MARKS = re.compile(r'"(?:[^"\\]+|\\.)*"?|;', re.DOTALL)
_BLANKS = " \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAddress:
    """One party as a header names it."""

    display: str
    """Display name without quotes and escapes, "" when there is none."""
    uri: str
    """URI as written, without angle brackets."""
    parameters: Mapping[str, str]
    """Header parameters after the URI: lower-case name to value without quotes, "" for a parameter without value."""

    @property
    def tag(self) -> str:
        """Dialog tag, "" when absent."""
        return self.parameters.get("tag", "")

    @property
    def user(self) -> str:
        """Number part of a sip:, sips: or tel: URI, unescaped, without parameters and password; separators are kept."""
        scheme, user, _ = _split_uri(self.uri)
        return unquote(user.partition(";")[0].partition(":")[0], errors="replace") if scheme else ""

    @property
    def host(self) -> str:
        """Host of a sip: or sips: URI in lower case, without port and without the brackets of IPv6; else ""."""
        _, _, host = _split_uri(self.uri)
        if host.startswith("["):
            return host[1:].partition("]")[0].lower()
        return re.split("[:;?]", host, maxsplit=1)[0].strip(_BLANKS).lower()


def parse_name_address(value: str) -> NameAddress:
    """A header value (one element of a list) in either form: `"Name" <uri>;tag=x` or `uri;tag=x`."""
    quoted = _QUOTED.match(value)
    opening = value.find("<", quoted.end() if quoted else 0)
    if opening < 0:
        uri, _, tail = value.partition(";")
        return NameAddress(display="", uri=uri.strip(_BLANKS), parameters=parse_parameters(tail))
    display = _ESCAPE.sub(r"\1", quoted[1]) if quoted else value[:opening].strip(' \t\r\n"')
    uri, _, tail = value[opening + 1 :].partition(">")
    return NameAddress(display=display, uri=uri.strip(_BLANKS), parameters=parse_parameters(tail))


def parse_parameters(tail: str) -> dict[str, str]:
    """Parameters `;a=1;b;c="x;y"`, the leading semicolon optional. The first of equal names counts."""
    parameters: dict[str, str] = {}
    for element in _split_parameters(tail):
        name, _, value = element.partition("=")
        key = name.strip(_BLANKS).lower()
        if key:
            parameters.setdefault(key, _unquoted(value.strip(_BLANKS)))
    return parameters


def _split_parameters(tail: str) -> list[str]:
    if '"' not in tail:
        return tail.split(";")
    elements = []
    start = 0
    for mark in _PARAMETER_MARKS.finditer(tail):
        if mark.group() == ";":
            elements.append(tail[start : mark.start()])
            start = mark.end()
    return [*elements, tail[start:]]


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        return _ESCAPE.sub(r"\1", value[1:-1] if len(value) > 1 and value.endswith('"') else value[1:])
    return value


def _split_uri(uri: str) -> tuple[str, str, str]:
    """(scheme, userinfo or number, host with port and parameters); all empty for other schemes."""
    scheme, _, rest = uri.partition(":")
    scheme = scheme.strip(_BLANKS).lower()
    if scheme == "tel":
        return scheme, rest, ""
    if scheme not in ("sip", "sips"):
        return "", "", ""
    # A user part may hold a literal "?", and URI headers an unescaped "@": headers start after the first "@" only.
    at = rest.find("@")
    headers = rest.find("?", at + 1)
    user, _, host = (rest if headers < 0 else rest[:headers]).rpartition("@")
    return scheme, user, host
