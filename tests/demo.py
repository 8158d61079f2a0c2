"""`make demo`: a capture of a few realistic calls is made, imported, searched, and every sample verified."""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.archive_reading import call_records, stored_parts
from tests.demo_calls import demo_calls
from tests.recorded_truth import differences
from tests.traffic.calls import PlayedCall, together
from tests.traffic.media import Cause, StreamTruth
from tests.traffic.pcapwriter import frames_of, write_pcap

CONFIGURATION = """\
# The office's lines: they tell which calls come in and which go out.
[[enterprise]]
id = "demo"
lines = [
    { number = "0335550101" },
    { number = "0335550102" },
    { number = "0335550103" },
    { number = "0335550104" },
    { number = "0335550105" },
]
"""
CUSTOMER = "+81 80-3333-4444"
"""Who is transferred: two calls."""
ROKUBOX = Path(sys.executable).with_name("rokubox")


def main() -> int:
    """Runs the demonstration; 0 when everything is as it was sent."""
    parser = argparse.ArgumentParser(description="Show what rokubox does, and that it is exact.")
    parser.add_argument("--output", type=Path, default=Path("demo-out"))
    output: Path = parser.parse_args().output
    capture, archive = output / "calls.pcap", output / "archive"
    output.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(archive, ignore_errors=True)

    calls = demo_calls()
    written = write_pcap(capture, frames_of(together(calls)))
    configuration = output / "rokubox.toml"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    _step(1, "A capture as a SPAN port would give it", "SPAN ポートのキャプチャに相当するファイル")
    print(f"   {len(calls)} calls, {written} packets: {capture}")
    there = ("--archive", str(archive))
    how = ("--config", str(configuration), "--record", "all")
    steps = (
        ("The import", "取り込み", ("import", str(capture), "--output", str(archive), *how)),
        ("The account of every call", "全通話の記録", ("calls", *there)),
        ("The calls of one number", "番号で検索（どの表記でも）", ("search", *there, "--number", CUSTOMER)),
        ("Nothing altered or missing: the signed ledger", "改変・欠落の検査（署名付き台帳）", ("verify", *there)),
    )
    for number, (english, japanese, arguments) in enumerate(steps, start=2):
        _step(number, english, japanese)
        if not _run(*arguments):
            return _verdict([f"rokubox {arguments[0]} failed"])
    _step(6, "One call in full, also as a picture", "1 通話の詳細と図（両チャネルの波形、保留、欠落）")
    picture = output / "call.svg"
    if not _run("show", _held(archive), *there, "--svg", str(picture)):
        return _verdict(["rokubox show failed"])
    print(f"   {picture}")
    _step(7, "The recordings (left: caller, right: callee)", "録音ファイル（左: 発信者、右: 着信者）")
    for part in stored_parts(archive):
        print(f"   {part.path}")
    _step(8, "Held against what was sent, sample by sample", "送信した音声との全サンプル照合")
    _print_figures([truth for call in calls for truths in call.truths.values() for truth in truths])
    return _verdict(differences(archive, calls), calls)


def _held(archive: Path) -> str:
    """The beginning of the id of the call with music on hold."""
    return next(str(record["call_id"])[:10] for record in call_records(archive) if record["holds"])


def _step(number: int, english: str, japanese: str) -> None:
    print(f"\n{number}. {english}\n   {japanese}")


def _run(*arguments: str) -> bool:
    print(f"   $ rokubox {shlex.join(arguments)}", flush=True)
    return subprocess.run([ROKUBOX, *arguments], check=False).returncode == 0


def _print_figures(truths: Sequence[StreamTruth]) -> None:
    sent = sum(len(truth.codes) for truth in truths)
    missing = {cause: sum(n for truth in truths for _, n, why in truth.gaps if why == cause) for cause in Cause}
    told = ", ".join(f"{cause} {samples}" for cause, samples in missing.items() if samples)
    arrived = sum(int(truth.present.sum()) for truth in truths)
    print(f"   {len(truths)} streams of {sent} samples, {arrived} arrived;\n   not: {told}")


def _verdict(told: Sequence[str], calls: Sequence[PlayedCall] = ()) -> int:
    for difference in told:
        print(f"   differs: {difference}")
    if told:
        print(f"FAILED: {len(told)} differences from what was sent.")
        print(f"不合格: 送信した内容と {len(told)} 件の相違があります。")
        return 1
    print(f"\nOK: {len(calls)} calls, each with a record.")
    print("Every sample that arrived is in its place, the rest is listed.")
    print(f"合格: {len(calls)} 通話すべてに記録あり。")
    print("届いた音声は全サンプルが正しい位置、欠けた区間はすべて一覧に記載。")
    return 0


if __name__ == "__main__":
    sys.exit(main())
