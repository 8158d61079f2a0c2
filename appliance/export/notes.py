"""README.txt of every export."""

NOTES = """\
Recordings exported from a rokubox call recorder
================================================

originals/      recordings exactly as they lie in the archive: a ZIP (or WAV and JSON) each, left channel caller,
                right channel callee, silence where nothing arrived (listed as "fill" in call.json).
                NAME.proof.txt proves that the recorder's ledger holds this recording.
treated/        copies made from them for listening or handing on (manifest.json says what was done). A treated copy
                is not evidence: "original_wav_sha256" names the recording that is.
calls/          the account of each call: outcome, reasons, figures.
manifest.json   every file with its SHA-256, who exported it and why.

To verify on any machine with rokubox:    rokubox verify FILE.zip --public-key device-key.pem
Without rokubox (unzip, coreutils, openssl): every proof.txt tells the steps.
Get the public key from a source you trust, not from this bundle.

録音データのエクスポート
========================

originals/      保存されたままの録音（左チャンネル: 発信者、右チャンネル: 着信者）。届かなかった区間は無音で、
                call.json の "fill" に一覧があります。NAME.proof.txt は、台帳にこの録音が記載されていることの証明です。
treated/        試聴や提供のために加工した複製です（内容は manifest.json）。証拠となるのは加工前の録音で、
                "original_wav_sha256" がそのハッシュです。
calls/          通話ごとの記録（結果、理由、数値）。
manifest.json   全ファイルの SHA-256、エクスポートした人と理由。

検証: rokubox verify FILE.zip --public-key device-key.pem（rokubox なしでも proof.txt の手順で検証できます）
公開鍵は、このファイルではなく信頼できる経路で入手してください。
""".encode()
