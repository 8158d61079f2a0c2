"""An S3-compatible object store over TLS, by path-style requests that are signed with their payload's hash.

An object appears whole or not at all. A large one goes up in parts (multipart upload); the next attempt looks for the
upload that was begun and goes on with the parts that are not there, or not ours. Proof is what the store has computed:
SHA-256 (x-amz-checksum-sha256), or the ETag where that is an MD5; else everything is read back. The store verifies
each request's payload against the hash that was signed with it.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES, Match, Parcel
from uploader.proof import Proof, ProofKind
from uploader.settings import TargetSettings
from uploader.targets import http, sigv4
from uploader.targets.contract import Patience
from uploader.targets.credentials import secret
from uploader.targets.filedelivery import ALTERED, CONFLICT
from uploader.targets.http import Answer, HttpClient
from uploader.targets.sigv4 import EMPTY_SHA256, Credentials

PART_BYTES = 16 << 20
"""What is larger goes up in parts of so much; at least 5 MiB are asked for, and at most 10,000 parts."""
_SHA256 = "x-amz-checksum-sha256"
Query = Sequence[tuple[str, str]]


class S3Target:
    """`s3://endpoint/bucket/prefix`."""

    def __init__(self, settings: TargetSettings, patience: Patience, proxy: str) -> None:
        self._settings = settings
        self._patience = patience
        self._proxy = proxy

    @asynccontextmanager
    async def session(self) -> AsyncIterator["S3Session"]:
        """As `Target.session`."""
        settings = self._settings
        who = Credentials(key_id=settings.user, secret=secret(settings.password_file), region=settings.region)
        async with http.client(settings, self._patience, self._proxy, auth=False) as client:
            yield S3Session(client, http.authority(settings), settings.folder, who)


class S3Session:
    """Objects below one prefix of a bucket."""

    def __init__(self, client: HttpClient, host: str, folder: str, who: Credentials) -> None:
        self._client = client
        self._host = host
        self._bucket, _, prefix = folder.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._who = who
        self._ahead = timedelta(0)
        """How far the store's clock is ahead of ours: signatures have times."""
        self._has_sha256 = False
        """The store names a SHA-256 that it has computed: no MD5 is needed."""

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        key = self._prefix + parcel.path
        there = await self._look(key)
        if there is not None:
            kind, match = await self._compare(key, there, parcel)
            if match is not Match.SAME:
                raise ParcelError(CONFLICT)
            return Proof(kind=kind, sha256=parcel.sha256, size_bytes=parcel.size_bytes)
        if parcel.size_bytes > PART_BYTES:
            md5 = await self._put_parts(key, parcel)
        else:
            answer, md5 = await self._put(key, parcel)
            if _is_proved(answer, parcel, md5):
                return Proof(kind=ProofKind.CHECKSUM, sha256=parcel.sha256, size_bytes=parcel.size_bytes)
        there = await self._look(key)
        found = (ProofKind.READ_BACK, Match.OTHER) if there is None else await self._compare(key, there, parcel, md5)
        kind, match = found
        if match is not Match.SAME:
            await self._ask("DELETE", key)  # the next attempt begins anew, where it permits that
            raise ParcelError(ALTERED)
        return Proof(kind=kind, sha256=parcel.sha256, size_bytes=parcel.size_bytes)

    async def _look(self, key: str) -> Answer | None:
        answer = await self._ask("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
        if answer.status == 404:
            return None
        return _expected(answer, 200)

    async def _compare(self, key: str, there: Answer, parcel: Parcel, md5: str = "") -> tuple[ProofKind, Match]:
        """`md5`: as an ETag, if it is known already."""
        if there.size_bytes not in (None, parcel.size_bytes):
            return ProofKind.CHECKSUM, Match.OTHER
        if _is_proved(there, parcel, md5):
            return ProofKind.CHECKSUM, Match.SAME
        if not parcel.read_back and _etag(there) and _etag(there) == await asyncio.to_thread(_md5, parcel, there):
            return ProofKind.CHECKSUM, Match.SAME
        held = self._client.read(self._target(key, ()), self._signed("GET", key))
        return ProofKind.READ_BACK, await parcel.compare(held)

    async def _put(self, key: str, parcel: Parcel) -> tuple[Answer, str]:
        """The answer, and the MD5 of what was sent where that may be the proof."""
        headers = {
            "Content-Length": str(parcel.size_bytes),
            "Content-Type": "application/zip",
            _SHA256: _base64(bytes.fromhex(parcel.sha256)),
        }
        for condition in ({"If-None-Match": "*"}, {}):
            md5 = None if self._has_sha256 or parcel.read_back else hashlib.md5(usedforsecurity=False)
            answer = await self._send(key, (), headers | condition, parcel.sha256, _hashed(parcel.chunks(), md5))
            if answer.status != 501:  # it knows no conditions; nobody else writes this name
                break
        if answer.status in (409, 412):
            raise ParcelError(CONFLICT)
        self._has_sha256 = _SHA256 in _expected(answer, 200).headers
        return answer, md5.hexdigest() if md5 else ""

    async def _put_parts(self, key: str, parcel: Parcel) -> str:
        """The ETag that the store gives if it makes it of the parts' MD5s."""
        upload = await self._begun(key) or await self._begin(key)
        there = await self._parts(key, upload)
        etags: list[str] = []
        md5s: list[str] = []
        for number, first in enumerate(range(0, parcel.size_bytes, PART_BYTES), 1):
            end = min(first + PART_BYTES, parcel.size_bytes)
            md5, sha256 = await asyncio.to_thread(_hashes, parcel, first, end)
            md5s.append(md5)
            if there.get(number) != (md5, end - first):
                query = (("partNumber", str(number)), ("uploadId", upload))
                headers = {"Content-Length": str(end - first), "Content-MD5": _base64(bytes.fromhex(md5))}
                chunks = parcel.chunks(first, end)
                answer = _expected(await self._send(key, query, headers, sha256, chunks), 200)
                etags.append(_etag(answer))
            else:
                etags.append(md5)
        await self._complete(key, upload, etags)
        return _together(md5s)

    async def _begun(self, key: str) -> str:
        """Id of an upload of this key that was begun and not completed; empty when there is none."""
        answer = await self._ask("GET", "", (("prefix", key), ("uploads", "")))
        if answer.status in (400, 404, 405, 501):  # it cannot tell
            return ""
        root = _parsed(_expected(answer, 200))
        found = [one for one in _all(root, "Upload") if _text(one, "Key") == key]
        return _text(found[-1], "UploadId") if found else ""

    async def _begin(self, key: str) -> str:
        answer = await self._ask("POST", key, (("uploads", ""),), {"Content-Type": "application/zip"})
        upload = _text(_parsed(_expected(answer, 200)), "UploadId")
        if not upload:
            raise TargetError("it does not speak S3: an upload without an id")
        return upload

    async def _parts(self, key: str, upload: str) -> dict[int, tuple[str, int]]:
        """Parts that the store has, by number: MD5 and size."""
        found: dict[int, tuple[str, int]] = {}
        marker = "0"
        while True:
            answer = await self._ask("GET", key, (("part-number-marker", marker), ("uploadId", upload)))
            if answer.status == 404:
                return {}
            root = _parsed(_expected(answer, 200))
            for part in _all(root, "Part"):
                number, size = _text(part, "PartNumber"), _text(part, "Size")
                if number.isdigit() and size.isdigit():
                    found[int(number)] = _text(part, "ETag").strip('"'), int(size)
            following = _text(root, "NextPartNumberMarker")
            if _text(root, "IsTruncated") != "true" or not following.isdigit() or int(following) <= int(marker):
                return found
            marker = following

    async def _complete(self, key: str, upload: str, etags: Sequence[str]) -> None:
        root = ElementTree.Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        for number, etag in enumerate(etags, 1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{etag}"'
        content = ElementTree.tostring(root)
        answer = await self._ask("POST", key, (("uploadId", upload),), content=content)
        if b"<Error" in _expected(answer, 200).content:  # a fault after the answer had begun
            raise TargetError("it could not put the parts together")

    async def _send(
        self, key: str, query: Query, headers: dict[str, str], sha256: str, chunks: AsyncIterator[bytes]
    ) -> Answer:
        signed = self._signed("PUT", key, query, headers, sha256)
        return await self._client.ask("PUT", self._target(key, query), signed, chunks)

    async def _ask(
        self, method: str, key: str, query: Query = (), headers: dict[str, str] | None = None, content: bytes = b""
    ) -> Answer:
        sha256 = hashlib.sha256(content).hexdigest()
        for _ in range(2):
            signed = self._signed(method, key, query, headers, sha256)
            answer = await self._client.ask(method, self._target(key, query), signed, content or None)
            if not self._set_clock(answer):
                break
        return answer

    def _set_clock(self, answer: Answer) -> bool:
        """Go by the store's clock when it finds fault with ours; True when the request is worth another try."""
        if answer.status != 403 or self._ahead:
            return False
        try:
            ahead = parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
        except (KeyError, TypeError, ValueError):
            return False
        if abs(ahead) < timedelta(minutes=4):  # it takes a quarter of an hour for an error
            return False
        self._ahead = ahead
        return True

    def _signed(
        self,
        method: str,
        key: str,
        query: Query = (),
        headers: dict[str, str] | None = None,
        sha256: str = EMPTY_SHA256,
    ) -> dict[str, str]:
        now = datetime.now(UTC) + self._ahead
        return sigv4.signed(self._who, method, self._host, self._path(key), query, headers or {}, sha256, now)

    def _target(self, key: str, query: Query) -> str:
        asked = f"?{sigv4.canonical_query(query)}" if query else ""
        return f"{sigv4.canonical_path(self._path(key))}{asked}"

    def _path(self, key: str) -> str:
        return f"/{self._bucket}/{key}" if key else f"/{self._bucket}"


def _is_proved(answer: Answer, parcel: Parcel, md5: str) -> bool:
    """Whether the store has named a checksum of its own that is the parcel's, and that is proof enough."""
    if parcel.read_back:
        return False
    if answer.headers.get(_SHA256, "") == _base64(bytes.fromhex(parcel.sha256)):
        return True
    return bool(md5) and _etag(answer) == md5


async def _hashed(chunks: AsyncIterator[bytes], digest: "hashlib._Hash | None") -> AsyncIterator[bytes]:
    """The chunks, each hashed as it goes by: another thread would take longer to be waited for."""
    async for chunk in chunks:
        if digest is not None:
            digest.update(chunk)
        yield chunk


def _hashes(parcel: Parcel, first: int, end: int) -> tuple[str, str]:
    """MD5 and SHA-256 of a part."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    for chunk in _read(parcel, first, end):
        md5.update(chunk)
        sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()


def _md5(parcel: Parcel, there: Answer) -> str:
    """The ETag of the parcel's bytes: their MD5, or that of an upload in parts, whichever the answer's is like."""
    size_bytes = parcel.size_bytes
    step = PART_BYTES if "-" in _etag(there) else max(1, size_bytes)
    md5s = []
    for first in range(0, max(1, size_bytes), step):
        md5 = hashlib.md5(usedforsecurity=False)
        for chunk in _read(parcel, first, min(first + step, size_bytes)):
            md5.update(chunk)
        md5s.append(md5.hexdigest())
    return _together(md5s) if "-" in _etag(there) else md5s[0]


def _together(md5s: Sequence[str]) -> str:
    """ETag of an upload in parts: MD5 of the parts' MD5s."""
    return f"{hashlib.md5(bytes.fromhex(''.join(md5s)), usedforsecurity=False).hexdigest()}-{len(md5s)}"


def _read(parcel: Parcel, first: int, end: int) -> Iterator[bytes]:
    while first < end and (chunk := os.pread(parcel.file.fileno(), min(CHUNK_BYTES, end - first), first)):
        yield chunk
        first += len(chunk)


def _etag(answer: Answer) -> str:
    return str(answer.headers.get("etag", "")).strip('"')


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _expected(answer: Answer, *statuses: int) -> Answer:
    if answer.status not in statuses:
        raise http.refusal(answer.status, answer.headers)
    return answer


def _parsed(answer: Answer) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(answer.content)
    except ElementTree.ParseError as error:
        raise TargetError("it does not speak S3") from error


def _all(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in root.iter() if one.tag.rpartition("}")[2] == name]


def _text(root: ElementTree.Element, name: str) -> str:
    """Text of the first element of that name, whatever its namespace; empty without one."""
    return next((one.text or "" for one in _all(root, name)), "")
