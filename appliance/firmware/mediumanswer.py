"""What came of an update, written onto the medium that brought it: for whoever pulls it out."""

import os
import time
from contextlib import suppress
from pathlib import Path

from appliance.firmware import updatestatus
from appliance.firmware.updatestatus import UNDER_WAY, Reason, State, UpdateStatus

NAME = "rokubox-update.txt"
LOOK_S = 5.0

STATES = {
    State.DOWNLOADING: ("取得中です。", "is being fetched"),
    State.VERIFYING: ("検査中です。", "is being checked"),
    State.INSTALLING: ("書き込み中です。", "is being written"),
    State.RESTARTING: (
        "インストールしました。再起動して確認します。",
        "was installed; the box restarts and judges it",
    ),
    State.ON_TRIAL: ("新しい版を確認中です。", "is on trial"),
    State.GOOD: ("更新は完了し、正常に動作しています。", "is complete, and works"),
    State.ROLLED_BACK: (
        "新しい版が正常に動かず、元の版に戻りました。",
        "did not work, and the version before runs again",
    ),
    State.REFUSED: ("受け付けできません。何も変更していません。", "was not accepted, and nothing was changed"),
    State.FAILED: (
        "書き込みに失敗しました。元の版で動作しています。",
        "could not be written; the version before goes on running",
    ),
}
REASONS = {
    Reason.NOT_FOUND: "更新ファイル（*.raucb）は 1 個だけ置いてください。",
    Reason.NOT_ALLOWED: "設定で許可されていない取得元です。",
    Reason.DOWNLOAD: "取得できませんでした。",
    Reason.NO_ROOM: "空き容量が不足しています。",
    Reason.SIGNATURE: "署名が正しくありません。",
    Reason.DAMAGED: "ファイルが壊れています。取り直してください。",
    Reason.OTHER_DEVICE: "別の機種用です。",
    Reason.OLDER: "現在の版より古いため受け付けません。",
    Reason.SAME: "この版はすでに動作しています。",
    Reason.FAILED_BEFORE: "以前に失敗した更新ファイルです。",
    Reason.ON_TRIAL: "現在の版を確認中です。終わってから差し込んでください。",
    Reason.INSTALL: "書き込みに失敗しました。",
    Reason.DID_NOT_BOOT: "新しい版が起動しませんでした。",
    Reason.NO_END: "新しい版の確認が途中で切れました（停止または停電）。",
    Reason.UNSTABLE: "新しい版のサービスが安定しませんでした。",
    Reason.SELF_TEST: "新しい版の自己診断で異常を検出しました。",
    Reason.KNOWN_CALL: "新しい版で既知の通話を録音できませんでした。",
    Reason.GATE: "新しい版の状態を判定できませんでした。",
}


def lines(status: UpdateStatus | None, problem: str) -> list[str]:
    """What to say, Japanese and English. Pure. `problem`: why nothing was done; empty when something was."""
    if status is None:
        return ["rokubox update", problem]
    japanese, english = STATES[status.state]
    told = [f"rokubox update {status.version} {english}".replace("  ", " "), japanese]
    if status.reason is not None:
        told += [REASONS[status.reason], f"{status.reason}: {status.detail}"]
    if problem and problem != status.detail:
        told.append(problem)
    return told


def write(folder: Path, status: UpdateStatus | None, problem: str) -> bool:
    """Write it; False when that cannot be written, as on a CD."""
    with suppress(OSError):
        with (folder / NAME).open("w", encoding="utf-8", newline="\r\n") as file:
            file.write("\n".join(lines(status, problem)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return True
    return False


def wait_for_end(limit_s: float, folder: Path = updatestatus.FOLDER) -> None:
    """Until the trial is over; it ends by itself, or the box restarts."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        status = updatestatus.read(folder)
        if status is not None and status.state not in UNDER_WAY:
            return
        time.sleep(LOOK_S)
