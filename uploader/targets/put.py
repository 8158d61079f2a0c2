"""HTTPS PUT (RFC 9110 section 9.3.4): a server that takes files under their final names.

There are no drafts and no going on: a server that keeps half a file when a transfer breaks off has it under its final
name, and it is replaced by the whole one, because it is nothing but our own beginning. Proof is a SHA-256 that the
server computes on demand (Repr-Digest, RFC 9530), else everything is read back.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from uploader.errors import ParcelError
from uploader.parcel import Match, Parcel
from uploader.proof import Proof, ProofKind
from uploader.settings import TargetSettings
from uploader.targets import http
from uploader.targets.contract import Patience
from uploader.targets.filedelivery import ALTERED, CONFLICT
from uploader.targets.http import Answer, HttpClient


class PutTarget:
    """`https://server/folder/`."""

    def __init__(self, settings: TargetSettings, patience: Patience, proxy: str) -> None:
        self._settings = settings
        self._patience = patience
        self._proxy = proxy

    @asynccontextmanager
    async def session(self) -> AsyncIterator["PutSession"]:
        """As `Target.session`."""
        async with http.client(self._settings, self._patience, self._proxy) as client:
            yield PutSession(client, http.base_path(self._settings))


class PutSession:
    """Files below one path."""

    def __init__(self, client: HttpClient, base: str) -> None:
        self._client = client
        self._base = base

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        at, condition = self._base + parcel.path, {"If-None-Match": "*"}
        there = await self._look(at)
        if there is not None:
            kind, match = await self._compare(at, there, parcel)
            if match is Match.SAME:
                return _proof(parcel, kind)
            if match is Match.OTHER:
                raise ParcelError(CONFLICT)
            condition = {}  # our own beginning
        headers = {
            "Content-Length": str(parcel.size_bytes),
            "Content-Type": "application/zip",
            "Repr-Digest": f"sha-256=:{_base64(parcel.sha256)}:",
            **condition,
        }
        answer = await self._client.ask("PUT", at, headers, parcel.chunks())
        if answer.status == 412:
            raise ParcelError(CONFLICT)
        if answer.status not in (200, 201, 204):
            raise http.refusal(answer.status, answer.headers)
        there = await self._look(at)
        kind, match = (ProofKind.READ_BACK, Match.OTHER) if there is None else await self._compare(at, there, parcel)
        if match is not Match.SAME:
            await self._client.ask("DELETE", at)  # the next attempt begins anew, where it permits that
            raise ParcelError(ALTERED)
        return _proof(parcel, kind)

    async def _look(self, at: str) -> Answer | None:
        answer = await self._client.ask("HEAD", at, {"Want-Repr-Digest": "sha-256=10"})
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise http.refusal(answer.status, answer.headers)
        return answer

    async def _compare(self, at: str, there: Answer, parcel: Parcel) -> tuple[ProofKind, Match]:
        if not parcel.read_back and f"sha-256=:{_base64(parcel.sha256)}:" in there.headers.get("repr-digest", ""):
            same = there.size_bytes in (None, parcel.size_bytes)
            return ProofKind.CHECKSUM, Match.SAME if same else Match.OTHER
        return ProofKind.READ_BACK, await parcel.compare(self._client.read(at))


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _proof(parcel: Parcel, kind: ProofKind) -> Proof:
    return Proof(kind=kind, sha256=parcel.sha256, size_bytes=parcel.size_bytes)
