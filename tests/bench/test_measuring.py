"""The measuring itself, and how figures are judged."""

import sys
from pathlib import Path

import pytest

from tests.bench.bench_import import Figure
from tests.bench.measuring import CommandFailed, run_measured


def test_cpu_time_and_memory_are_those_of_the_child(tmp_path: Path) -> None:
    work = "held = bytearray(200 << 20)\nfor at in range(0, len(held), 4096): held[at] = 1\nprint('done')"
    cost = run_measured([sys.executable, "-c", work], tmp_path / "printed")
    assert (tmp_path / "printed").read_text() == "done\n"
    assert cost.peak_bytes > 200 << 20
    assert 0 < cost.user_s <= cost.cpu_s


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="ended with 1:\nno such file"):
        run_measured([sys.executable, "-c", "import sys; sys.exit('no such file')"], tmp_path / "printed")


@pytest.mark.parametrize(
    ("value", "target", "stretch", "at_least", "verdict"),
    [
        (1.2, 2.0, 1.3, False, "stretch"),
        (1.3, 2.0, 1.3, False, "stretch"),
        (1.9, 2.0, 1.3, False, "reached"),
        (2.1, 2.0, 1.3, False, "missed"),
        (6000, 5000, 8000, True, "reached"),
        (4000, 5000, 8000, True, "missed"),
        (9000, 5000, 8000, True, "stretch"),
        (10, 1024, None, False, "reached"),
        (10, None, None, False, ""),
    ],
)
def test_verdict(value: float, target: float | None, stretch: float | None, at_least: bool, verdict: str) -> None:
    assert Figure(name="x", value=value, target=target, stretch=stretch, at_least=at_least).verdict() == verdict
