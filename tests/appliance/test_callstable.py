"""The table of calls: nothing is cut off in 80 columns, figures in wide ones, straight columns whatever the script."""

import io
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from appliance.presentation import callcolumns, callstable
from appliance.presentation.terminal import printable
from storage.call_record import CallRecord
from storage.records import Party
from storage.vocabulary import Outcome, Reason
from tests.storage.samples import call_record

JAPANESE = "内線１０１"


def party(number: str) -> Party:
    return Party(number=number, display="", uri="")


def calls() -> list[CallRecord]:
    return [
        call_record(caller=party("0335550101"), callee=party("09011112222"), outcome=Outcome.RECORDED, reasons=()),
        call_record(caller=party(JAPANESE), callee=party("+81-3-1234-5678"), duration_s=3725.4),
        call_record(
            caller=party("anonymous"),
            callee=party(""),
            dialled="0335550102",
            outcome=Outcome.NOT_RECORDED,
            reasons=(Reason.UNSUPPORTED_CODEC,),
            completeness=None,
        ),
        call_record(
            caller=party("a.very.long.user.name.of.a.softphone"),
            callee=party("2002"),
            outcome=Outcome.NOT_EXPECTED,
            reasons=(Reason.RULE_LINE_UNKNOWN,),
        ),
    ]


def rendered(listed: Sequence[CallRecord], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(callstable.table(list(listed), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_nothing_is_cut_off(width: int) -> None:
    lines = rendered(calls(), width)
    assert all(cell_len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    shown = "\n".join(lines)
    for call in calls():
        words = (call.outcome, *call.reasons, call.started_at[:10], call.started_at[11:19])
        assert [word for word in words if word not in shown] == []
    assert (call.call_id[:10] in shown) == (width >= callcolumns.FULL_WIDTH)


def test_a_long_number_goes_on_in_the_next_lines() -> None:
    header, *lines = rendered(calls()[-1:], 80)
    column = slice(header.index("caller"), header.index("callee"))
    assert "".join(line[column].strip() for line in lines) == "a.very.long.user.name.of.a.softphone"


def test_in_80_columns_usual_calls_keep_their_numbers_whole() -> None:
    usual = call_record(
        caller=party("09033334444"), callee=party("09011112222"), reasons=(Reason.RECORDER_JOINED_LATE,)
    )
    assert rendered([usual, *calls()], 80)[1].split()[3:5] == ["09033334444", "09011112222"]


def test_figures_need_room() -> None:
    assert "MOS" not in rendered(calls(), 80)[0]
    assert rendered(calls(), 120)[0].split()[-4:] == ["complete", "MOS", "parts", "id"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_columns_stand_straight_behind_japanese(width: int) -> None:
    header, *lines = rendered(calls()[:2], width)
    column = cell_len(header[: header.index("callee")])
    [plain] = [line for line in lines if "0335550101" in line]
    [wide] = [line for line in lines if JAPANESE in line]
    assert cell_len(plain[: plain.index("0901")]) == column
    assert cell_len(wide[: wide.index("+81")]) == column


def test_length_and_dialled_number() -> None:
    shown = rendered(calls(), 200)
    assert "  1:02:05  " in shown[2]
    assert "0335550102" in shown[3]


def test_one_offset_stands_in_the_heading_several_in_the_rows() -> None:
    summer = call_record(started_at="2026-07-02T03:04:05.000000000+01:00")
    winter = call_record(started_at="2026-01-02T03:04:05.000000000+00:00")
    assert rendered([summer], 120)[0].startswith("started +01:00  ")
    both = rendered([summer, winter], 120)
    assert both[0].startswith("started   ")
    assert both[1].startswith("2026-07-02 03:04:05+01:00  ")


def test_text_from_the_wire_does_not_command_the_terminal() -> None:
    hostile = call_record(caller=party("\x1b]0;x\x07[red]:a:\n9\u202e\udcff"))
    shown = "\n".join(rendered([hostile], 200))
    assert "\ufffd]0;x\ufffd[red]:a:\ufffd9\ufffd\ufffd" in shown
    assert printable("内線 é 1") == "内線 é 1"
