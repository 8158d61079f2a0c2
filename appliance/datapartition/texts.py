"""What is said on the consoles and written onto the stick, English first: a screen may know no other letters."""

MAKING = """\
rokubox: first start. The data partition is being made (encryption: {encryption}).
rokubox: 初回起動です。データ領域を作成しています（暗号化: {encryption}）。"""
ORDER_REFUSED = """\
rokubox: the data partition is not made yet. On the stick: {problem}
rokubox: データ領域を作成できません。USB メモリの内容を直してください（抜くと暗号化なしで続行します）。
Put it right, or pull the stick out to go on without encryption."""
NEW_PASSPHRASE = """\
rokubox: choose the passphrase of the data partition (8 characters or more; nothing is shown), then press Enter.
rokubox: データ領域のパスフレーズを入力し Enter を押してください（8 文字以上、表示されません）。"""
AGAIN = "rokubox: once more. もう一度入力してください。"
NOT_ACCEPTED = "rokubox: not the same twice, or too short. 一致しないか短すぎます。"
LOCKED = """\
rokubox: NOT RECORDING. The data partition is locked: type its passphrase or recovery key, then Enter,
or plug in a stick labelled ROKUBOX with passphrase.txt or the recovery key's file.
rokubox: 録音していません。パスフレーズまたは回復キーを入力するか、鍵の入った USB メモリを挿してください。"""
NOT_OPENED_BY_TPM = "rokubox: this machine's TPM does not open it: {problem}. TPM では開けませんでした。"
WRONG_KEY = "rokubox: that does not open it. 開けませんでした。"
RESET = """\

==================== FACTORY RESET / 初期化 ====================
Every recording, every key and every setting of this box ({serial}) will be DESTROYED.
This cannot be undone. Type  {word}  and press Enter within {limit_s:.0f} seconds to destroy them.
Anything else, or nothing, starts the box as it is.

この装置（{serial}）の録音・鍵・設定をすべて消去します。元に戻せません。
消去するには {limit_s:.0f} 秒以内に {word} と入力し Enter を押してください。それ以外は通常どおり起動します。
================================================================"""
NOT_RESET = "rokubox: nothing was destroyed. 何も消去していません。"
ERASING = "rokubox: being destroyed; without power it goes on at the next start. 消去中です。"
PROGRESS = "rokubox: {percent} % overwritten. {percent} % 消去しました。"
ERASED = "rokubox: everything was destroyed. すべて消去しました。"
OTHER_BOX = "factory-reset names {said!r}, and this box is {serial!r}: nothing was destroyed"
READ_ONLY = "this stick cannot be written to, and the answer has to be written there"

KEY_FILE = """\
rokubox recovery key / 回復キー

{key}

Opens the data partition of box {serial} when its TPM or its passphrase does not. Made {time}, and kept nowhere else.
Take this stick out of the box now and keep it locked away: with it and the disk, everything can be read.
装置 {serial} のデータ領域の回復キーです。他には保存されていません。
この USB メモリは装置から抜いて厳重に保管してください。"""
MADE = """\
rokubox: data partition made {time}, box {serial}, encryption {encryption}
データ領域を作成しました（暗号化: {encryption}）。"""
REFUSED = """\
rokubox: {time}, box {serial}: {problem}
処理できませんでした。"""
DESTROYED = """\
rokubox factory reset / 初期化
box: {serial}
confirmed at its console: {confirmed} (the box's clock, UTC)
finished: {finished}
how: {how}
what was there: {evidence}
消去が完了しました。"""
BEGUN = """\
rokubox factory reset / 初期化
box: {serial}
confirmed at its console: {confirmed} (the box's clock, UTC)
NOT FINISHED. It goes on by itself, or asks again, when the box is switched on.
what was there: {evidence}
消去は完了していません。装置の電源を入れると自動的に再開します。"""
KEYS_GONE = "LUKS2 key slots erased and its header overwritten; without them what is on the disk cannot be read"
OVERWRITTEN = "the whole data partition overwritten with zeroes ({size_bytes} bytes)"
