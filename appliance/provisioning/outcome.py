"""What came of a medium: for the text file on it, and for the status page. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from appliance.diagnosis.texts import Text

NAME = "provisioning.json"


class Outcome(StrEnum):
    """What came of it."""

    ACCEPTED = "accepted"
    SAME = "same"
    """The box has just this configuration already."""
    REFUSED = "refused"
    """Something on the medium is wrong."""
    CONFIGURED = "configured"
    """The box has another configuration already."""
    UNREADABLE = "unreadable"
    """Its file system cannot be read."""
    FAILED = "failed"
    """The box could not store what it brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`provisioning.json`: the last medium since the box was started."""

    schema: Literal["rokubox.provisioning/1"] = "rokubox.provisioning/1"
    at_ns: int
    """When that was, in real time."""
    outcome: Outcome
    problems: tuple[str, ...] = ()
    """What is wrong, one a line, with file and key."""
    digest: str = ""
    """SHA-256 of the configuration that was accepted; empty when none was."""
    answered: bool = False
    """The result stands on the medium too; a CD takes none."""


TITLES: Final[Mapping[Outcome, Text]] = MappingProxyType(
    {
        Outcome.ACCEPTED: Text("受け付けました", "accepted"),
        Outcome.SAME: Text(
            "設定済みの内容と同じです。変更はありません", "the box has this configuration already, nothing to do"
        ),
        Outcome.REFUSED: Text("受け付けできません。何も変更していません", "not accepted, nothing was changed"),
        Outcome.CONFIGURED: Text(
            "この装置は設定済みです。何も変更していません", "not taken: the box has another configuration already"
        ),
        Outcome.UNREADABLE: Text("ROKUBOX 媒体を読み取れません", "the medium labelled ROKUBOX cannot be read"),
        Outcome.FAILED: Text("設定を保存できませんでした", "the configuration could not be stored on the box"),
    }
)
ACTIONS: Final[Mapping[Outcome, Text]] = MappingProxyType(
    {
        Outcome.ACCEPTED: Text("媒体を抜いてください", "Pull the medium out."),
        Outcome.SAME: Text("媒体を抜いてください", "Pull the medium out."),
        Outcome.REFUSED: Text(
            "下記を修正して、もう一度差してください", "Correct what stands below and plug it in again."
        ),
        Outcome.CONFIGURED: Text(
            "別の設定にするには、先に工場出荷状態に戻してください（録音と鍵は消えます）",
            "For another one, reset the box to its factory state first: that destroys recordings and keys.",
        ),
        Outcome.UNREADABLE: Text(
            "FAT、exFAT、ext4、ISO 9660 のいずれかで作り直してください",
            "Make it anew with FAT, exFAT, ext4 or ISO 9660.",
        ),
        Outcome.FAILED: Text(
            "ディスクの警報を確認し、再起動後にもう一度差してください",
            "See the alarms about the disk; restart the box and plug it in again.",
        ),
    }
)


def result_text(told: Told, keys: Sequence[str]) -> str:
    """What stands on the medium."""
    title, action = TITLES[told.outcome], ACTIONS[told.outcome]
    lines = [f"rokubox: {title.en}", f"{title.ja}。", action.en, f"{action.ja}。", *told.problems]
    if told.digest:
        lines += [f"rokubox.toml sha256 {told.digest}", *keys]
    return "".join(f"{line}\n" for line in lines)
