"""AWS Signature Version 4 for S3 requests whose payload's hash is known (AWS General Reference, "Signature Version 4").

Pure. The path is encoded once, as S3 wants it, and not twice as other services do.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who signs, for which region."""

    key_id: str
    secret: str = field(repr=False)
    region: str
    service: str = "s3"


def canonical_path(path: str) -> str:
    """The path as it is requested and signed: everything but unreserved characters and slashes encoded (RFC 3986)."""
    return quote(path, safe="/-_.~")


def canonical_query(query: Sequence[tuple[str, str]]) -> str:
    """The query as it is requested and signed."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query))


def signed(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    payload_sha256: str,
    now: datetime,
) -> dict[str, str]:
    """The headers of a request, those that sign it included; `path` not encoded yet, `now` in UTC."""
    at = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    sent |= {"host": host, "x-amz-content-sha256": payload_sha256, "x-amz-date": at}
    names = ";".join(sorted(sent))
    request = "\n".join(
        (
            method,
            canonical_path(path),
            canonical_query(query),
            *(f"{name}:{sent[name]}" for name in sorted(sent)),
            "",
            names,
            payload_sha256,
        )
    )
    scope = f"{at[:8]}/{credentials.region}/{credentials.service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, at, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_signing_key(credentials, at[:8]), to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return {**sent, "authorization": authorization}


def _signing_key(credentials: Credentials, date: str) -> bytes:
    key = f"AWS4{credentials.secret}".encode()
    for word in (date, credentials.region, credentials.service, "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key
