"""A proof as it is given out: a C2SP tlog-proof with, after it, what to do with it where there is no rokubox. Pure."""

from storage.errors import LedgerError
from storage.ledger import proof
from storage.ledger.proof import Proof

SUFFIX = ".proof.txt"

RECIPE = r"""
part=PART.zip proof=PART.proof.txt key=device-key.pem
sha() { openssl dgst -sha256 -binary; }

# The recording: SHA-256 of its call.json and SHA-256 of its audio, hashed together.
{ printf '\0'; unzip -p "$part" call.json | sha; unzip -p "$part" audio.wav | sha; } | sha > node

# The proof: xx00 is its head, xx01 what the recorder signed, xx02 the signature.
csplit -s "$proof" '/^$/' '{2}'
n=$(head -n 2 xx00 | tail -n 1 | cut -d ' ' -f 2)
last=$(( $(head -n 3 xx01 | tail -n 1) - 1 ))

# From the recording up to the root of the ledger, hash by hash.
for sibling in $(tail -n +3 xx00); do
  while [ $last -gt 0 ] && [ $n -eq $last ] && [ $((n % 2)) -eq 0 ]; do n=$((n / 2)) last=$((last / 2)); done
  echo "$sibling" | base64 -d > sibling
  if [ $((n % 2)) -eq 1 ]; then set -- sibling node; else set -- node sibling; fi
  { printf '\1'; cat "$@"; } | sha > above
  mv above node
  n=$((n / 2)) last=$((last / 2))
done
root=$(head -n 4 xx01 | tail -n 1)
if [ "$(base64 -w 0 node)" = "$root" ]; then echo "The recording is in the ledger."; else echo "NOT PROVED"; fi

# The signature over that root.
tail -n +2 xx01 > signed
tail -n 1 xx02 | cut -d ' ' -f 3 | base64 -d | tail -c 64 > signature
openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in signed -sigfile signature
""".strip()
"""What proves a recording with `unzip`, coreutils, `openssl` and a shell alone."""

_EXPLANATION = f"""
This file proves that a recording is in the ledger of a rokubox call recorder, as it was recorded: nothing in it was
altered since the recorder signed. Get the public key, device-key.pem, from a source that you trust.

With rokubox:  rokubox verify PART.zip --public-key device-key.pem
Without it, with unzip, coreutils and openssl (3.0 or later), in an empty folder with the three files; what must appear
is "The recording is in the ledger." and "Signature Verified Successfully". Of a recording that is a WAV and a JSON
file, the two `unzip -p` are `cat PART.json` and `cat PART.wav`.

このファイルは、録音が録音装置の台帳に記載されており、署名の後に改変されていないことを証明します。
公開鍵 device-key.pem は信頼できる経路で入手してください。rokubox がある場合は上の rokubox verify を、ない場合は
以下の手順を、3 つのファイルだけを置いたフォルダーで実行します。「The recording is in the ledger.」と
「Signature Verified Successfully」の両方が表示されれば証明されています。

{RECIPE}
"""


def to_text(given: Proof) -> bytes:
    """The file to give out."""
    return proof.serialize(given) + _EXPLANATION.encode()


def from_text(stored: bytes) -> Proof:
    """Read the proof in a file, with or without what follows it. Raises LedgerError when there is none."""
    blocks = stored.split(b"\n\n", 3)
    if len(blocks) < 3:
        raise LedgerError("not a proof: too short")
    whole = b"\n\n".join(blocks[:3])
    return proof.parse(whole if whole.endswith(b"\n") else whole + b"\n")
