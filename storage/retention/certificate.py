"""The certificate of an erasure: JSON for programs, text for people, in Japanese and English. Pure.

It states what the ledger states, with the proof: the ledger's lines, each with its place in the log and the signed
checkpoint over it. What was asked for (a telephone number, say) stands in the certificate alone, which goes to whoever
asked; the archive keeps those without.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from storage.ledger import entries
from storage.ledger.entries import Erasure
from storage.vocabulary import Count, Timestamp

FOLDER = "certificates"
"""Where the archive keeps those without numbers, of contracts above all, in `retention/`."""


class Left(StrEnum):
    """Why a call was not erased though it was asked for."""

    HELD = "held"
    PENDING = "pending"
    OPEN = "open"
    DAMAGED = "damaged"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenEntry:
    """An erasure entry of the ledger, with its proof."""

    line: str
    """The entry as stored; its leaf hash is SHA-256(00 || SHA-256(line)) (RFC 6962 section 2.1)."""
    proof: str
    """Its place in the log, audit path and signed checkpoint: C2SP tlog-proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was erased, when, why and by which rule."""

    schema: Literal["rokubox.erasure/1"] = "rokubox.erasure/1"
    """Name and version of this form."""
    software: str
    """What wrote it, with its version."""
    customer: str
    """Name of the customer."""
    site: str
    """Name of the site."""
    subject: str
    """What was asked to be erased, in the words of who asked."""
    rule: str
    """The rule that asked for it."""
    who: str
    """Who caused it."""
    why: str
    """Why."""
    at: Timestamp
    """When."""
    calls: Count
    """Calls erased."""
    parts: Count
    """Files of recordings erased."""
    bytes: Count
    """Room that they took."""
    left: Mapping[Left, int]
    """Calls that were asked for and are still there, by the reason why."""
    journal_clean: bool
    """Nothing of the calls is left in the journal; false: it leaves with the journal's next files, and what was set
    aside of it within a month."""
    backup_days: Count = 0
    """How old backups get, whose index and logs held the numbers; 0: none are made."""
    entries: tuple[ProvenEntry, ...]
    """The ledger's lines about it, which hold no numbers."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left of what was asked for."""
        return not self.left and self.journal_clean


class Sums(NamedTuple):
    """What erasures come to."""

    calls: int
    parts: int
    bytes: int


def sums(lines: Iterable[str]) -> Sums:
    """What these erasures of the ledger come to. Raises LedgerError when a line is none."""
    said = [entries.parse(line.encode()) for line in lines]
    erasures = [one for one in said if isinstance(one, Erasure)]
    return Sums(
        calls=sum(len(one.call_ids) for one in erasures),
        parts=sum(one.counts.get("parts", 0) for one in erasures),
        bytes=sum(one.counts.get("bytes", 0) for one in erasures),
    )


def to_json(certificate: Certificate) -> bytes:
    """The certificate for programs, indented."""
    return msgspec.json.format(msgspec.json.encode(certificate), indent=1) + b"\n"


def to_text(certificate: Certificate) -> str:
    """The certificate for people: Japanese, then English."""
    proof = ["", "証明 / proof (C2SP tlog-proof; rokubox verify, RFC 6962):"]
    for entry in certificate.entries:
        proof += ["", entry.line, "", entry.proof.rstrip("\n")]
    return "\n".join((*_japanese(certificate), "", *_english(certificate), *proof)) + "\n"


def _japanese(certificate: Certificate) -> list[str]:
    reasons = {
        Left.HELD: "法的保全（リーガルホールド）のため",
        Left.PENDING: "未送信のため",
        Left.OPEN: "通話中のため",
        Left.DAMAGED: "通話記録が読めないため",
        Left.INTERRUPTED: "消去が中断されたため",
    }
    lines = [
        "消去証明書",
        "",
        f"お客様　　: {certificate.customer or '-'}",
        f"設置場所　: {certificate.site or '-'}",
        f"消去対象　: {certificate.subject}",
        f"消去日時　: {certificate.at}",
        f"根拠　　　: {certificate.rule}",
        f"理由　　　: {certificate.why}",
        f"実施者　　: {certificate.who}",
        f"消去した通話: {certificate.calls:,} 件（ファイル {certificate.parts:,} 個、{certificate.bytes:,} バイト）",
    ]
    lines += [f"残存する通話: {count:,} 件（{reasons[Left(why)]}）" for why, count in certificate.left.items()]
    lines += (
        []
        if certificate.journal_clean
        else [
            "一時記録（ジャーナル）に残る部分は、次の区切りで消去されます。隔離された部分は 1 か月以内に消去されます。"
        ]
    )
    if certificate.is_complete:
        lines += ["", "上記の通話の録音、通話記録および索引中の番号は、本装置からすべて消去されました。"]
    else:
        lines += [
            "",
            "消去した通話の録音、通話記録および索引中の番号は、本装置に残っていません。残存分は上記のとおりです。",
        ]
    if certificate.backup_days:
        lines.append(
            "消去前のバックアップには索引とログ（番号を含む）が残り、"
            f"作成から {certificate.backup_days:,} 日後に削除されます。"
        )
    return [
        *lines,
        "音声のハッシュ値は改ざん検知のため台帳に残ります。番号は残りません。",
        f"作成　　　: {certificate.software}",
    ]


def _english(certificate: Certificate) -> list[str]:
    reasons = {
        Left.HELD: "legal hold",
        Left.PENDING: "not delivered yet",
        Left.OPEN: "call in progress",
        Left.DAMAGED: "its record cannot be read",
        Left.INTERRUPTED: "the erasure was interrupted",
    }
    lines = [
        "Certificate of erasure",
        "",
        f"customer:     {certificate.customer or '-'}",
        f"site:         {certificate.site or '-'}",
        f"erased:       {certificate.subject}",
        f"at:           {certificate.at}",
        f"rule:         {certificate.rule}",
        f"reason:       {certificate.why}",
        f"by:           {certificate.who}",
        f"calls erased: {certificate.calls:,} ({certificate.parts:,} files, {certificate.bytes:,} bytes)",
    ]
    lines += [f"calls left:   {count:,} ({reasons[Left(why)]})" for why, count in certificate.left.items()]
    lines += (
        []
        if certificate.journal_clean
        else [
            "What the journal still holds of them leaves with its next files; what was set aside of it, within a month."
        ]
    )
    if certificate.is_complete:
        lines += ["", "Recordings, call records and the numbers in the index were all erased from this box."]
    else:
        lines += ["", "Of the calls erased, no recording, call record or number in the index is left on this box."]
    if certificate.backup_days:
        lines.append(
            "Backups made before hold the index and logs with the numbers, no recordings; each is deleted"
            f" {certificate.backup_days:,} days after it was made."
        )
    return [
        *lines,
        "The hashes of the audio stay in the ledger, so that tampering is noticed; no numbers do.",
        f"written by:   {certificate.software}",
    ]
