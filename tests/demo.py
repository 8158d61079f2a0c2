"""`make demo`: a capture of a few realistic calls is made, imported, and every sample verified."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.archive_reading import stored_parts
from tests.demo_calls import demo_calls
from tests.recorded_truth import differences
from tests.traffic.calls import PlayedCall, together
from tests.traffic.media import Cause, StreamTruth
from tests.traffic.pcapwriter import frames_of, write_pcap

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
    print(f"1. A capture as a SPAN port would give it: {len(calls)} calls, {written} packets: {capture}")
    print("2. The import:")
    if not _run("import", str(capture), "--output", str(archive)):
        return _verdict(["rokubox import failed"])
    print("3. The account of every call:")
    if not _run("calls", "--archive", str(archive)):
        return _verdict(["rokubox calls failed"])
    print("4. The recordings (left channel: caller, right channel: callee):")
    for part in stored_parts(archive):
        print(f"   {part.path}")
    print("5. Held against what was sent:")
    _print_figures([truth for call in calls for truths in call.truths.values() for truth in truths])
    return _verdict(differences(archive, calls), calls)


def _run(*arguments: str) -> bool:
    print(f"   $ rokubox {' '.join(arguments)}", flush=True)
    return subprocess.run([ROKUBOX, *arguments], check=False).returncode == 0


def _print_figures(truths: Sequence[StreamTruth]) -> None:
    sent = sum(len(truth.codes) for truth in truths)
    missing = {cause: sum(n for truth in truths for _, n, why in truth.gaps if why == cause) for cause in Cause}
    told = ", ".join(f"{cause} {samples}" for cause, samples in missing.items() if samples)
    arrived = sum(int(truth.present.sum()) for truth in truths)
    print(f"   {len(truths)} streams of {sent} samples, {arrived} arrived; not: {told}")


def _verdict(told: Sequence[str], calls: Sequence[PlayedCall] = ()) -> int:
    for difference in told:
        print(f"   differs: {difference}")
    if told:
        print(f"FAILED: {len(told)} differences from what was sent.")
        print(f"不合格: 送信した内容と {len(told)} 件の相違があります。")
        return 1
    print(f"OK: {len(calls)} calls, each with a record; every sample that arrived is in its place, the rest is listed.")
    print(
        f"合格: {len(calls)} 通話すべてに記録あり。届いた音声は全サンプルが正しい位置、欠けた区間はすべて一覧に記載。"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
