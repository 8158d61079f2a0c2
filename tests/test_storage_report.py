"""`rokubox storage`: the disk that is really there."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from appliance import cli
from appliance.custody.inventory import RECORD_BYTES
from storage.volume import latency
from tests.storage.retention.archives import make


def rokubox(*words: str, code: int = 0) -> str:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        assert cli.main(words) == code
    return told.getvalue()


def test_for_programs(tmp_path: Path) -> None:
    make(tmp_path, 3)
    told = json.loads(rokubox("storage", "--archive", str(tmp_path), "--json"))
    status = os.statvfs(tmp_path)
    assert abs(told["free_bytes"] - status.f_bavail * status.f_frsize) < 1 << 30
    assert told["calls"] == 3
    files = [path for folder in ("recordings", "calls") for path in (tmp_path / folder).glob("*/*/*/*")]
    taken = sum(path.stat().st_blocks * 512 for path in files)
    assert abs(told["recorded_bytes"] - taken) <= 3 * RECORD_BYTES
    assert told["growth_bytes_a_day"] == told["recorded_bytes"]
    assert told["health"] in ("good", "warning", "failing", "unknown")
    assert 0 < told["write_median_ms"] <= told["write_longest_ms"]
    assert os.path.ismount(told["mount_point"])


def test_for_people(tmp_path: Path) -> None:
    make(tmp_path, 1)
    config = tmp_path / "rokubox.toml"
    config.write_text('[storage]\nvolume_uuid = "0f1e2d3c-4b5a"\n')
    told = rokubox("storage", "--archive", str(tmp_path), "--config", str(config))
    for words in (
        f"archive 保存先 {' ' * 12}",
        "- not 0f1e2d3c-4b5a 不一致",
        "1 calls 件",
        "full in 満杯まで",
        "health 健康状態",
        "write latency 書き込み遅延",
    ):
        assert words.strip() in told


def test_without_an_archive(tmp_path: Path) -> None:
    assert "cannot see which disk the archive is on" in rokubox("storage", "--archive", str(tmp_path / "no"), code=3)


def test_nothing_is_left_of_a_measurement(tmp_path: Path) -> None:
    assert latency.measured(tmp_path) is not None
    assert list(tmp_path.iterdir()) == []
    assert latency.measured(tmp_path / "no") is None
