"""`rokubox show`: calls that the importer recorded, as text and as a picture."""

import io
import itertools
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from appliance.cli import main
from appliance.show import gathering, picture, sheet, svg
from appliance.show.finding import find
from appliance.show.labels import Language, Term, Words, label
from appliance.show.scale import Scale, clock
from appliance.show.view import SIDES, CallView
from storage.archive import Archive
from storage.records import Dtmf
from storage.vocabulary import Direction, DtmfSource, FillCause, Outcome, Reason, Side
from tests.archive_reading import call_records
from tests.scenario import CALLEE, CALLER
from tests.traffic.calls import CallScript, Hold, play
from tests.traffic.media import Digit, MediaScript
from tests.traffic.pcapwriter import frames_of, write_pcap
from tests.traffic.signalling import Side as Speaker
from tests.traffic.speech import speech

SVG = "{http://www.w3.org/2000/svg}"
CONFIG = "[recording]\nsegment_s = 30\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call of 70 s in three parts: keys, a hold, loss; and one that nobody answered."""
    folder = tmp_path_factory.mktemp("shown")
    keys = tuple(Digit(at_s=5 + 0.4 * at, digit=digit) for at, digit in enumerate("31#"))
    script = CallScript(
        caller=replace(CALLER, display="営業 <b>&\u202e"),
        callee=CALLEE,
        call_id="shown@example",
        caller_media=MediaScript(audio=speech(70.0, seed=1), seed=1, digits=keys),
        callee_media=MediaScript(audio=speech(70.0, seed=2), seed=2, lost=frozenset(range(1000, 1050))),
        ring_s=1.0,
        talk_s=70.0,
        holds=(Hold(at_s=40.0, seconds=10.0, by=Speaker.CALLEE, music=True),),
    )
    write_pcap(folder / "calls.pcap", frames_of(play(script).packets))
    (folder / "rokubox.toml").write_text(CONFIG)
    arguments = ["--output", str(folder / "archive"), "--config", str(folder / "rokubox.toml")]
    assert main(["import", str(folder / "calls.pcap"), *arguments]) == 0
    return folder / "archive"


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "archive")


def only(archive: Path) -> dict[str, Any]:
    (record,) = call_records(archive)
    return record


def shown(capsys: pytest.CaptureFixture[str], archive: Path, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["show", *arguments, "--archive", str(archive)]) == code
    printed = capsys.readouterr()
    return printed.out if code in (0, 3) and printed.out else printed.err


def view_of(archive: Path, columns: int = picture.WAVE_WIDTH) -> CallView:
    return gathering.gather(find(Archive(archive), only(archive)["call_id"]), columns)


def drawn(view: CallView, language: Language = Language.BOTH) -> ET.Element:
    return ET.fromstring(picture.draw(view, language))


def rectangles(drawing: ET.Element, colour: str) -> list[tuple[float, float]]:
    """Left edge and width of the rectangles of a colour, those of the legend apart."""
    return [
        (float(each.attrib["x"]), float(each.attrib["width"]))
        for each in drawing.iter(f"{SVG}rect")
        if each.attrib.get("fill") == colour and each.attrib.get("rx") != "2"
    ]


def texts(drawing: ET.Element) -> list[str]:
    return [each.text or "" for each in drawing.iter(f"{SVG}text")]


def test_the_call_is_found_by_its_id_its_beginning_and_each_of_its_files(capsys, archive):
    record = only(archive)
    expected = shown(capsys, archive, record["call_id"])
    assert record["call_id"] in expected
    assert shown(capsys, archive, record["call_id"][:8].upper()) == expected
    for part in record["parts"]:
        assert shown(capsys, archive, part["name"]) == expected
    assert shown(capsys, archive, str(next(archive.rglob(record["parts"][1]["name"])))) == expected
    (archive / "index.sqlite").unlink()
    assert shown(capsys, archive, record["call_id"][:8]) == expected
    assert shown(capsys, archive, record["parts"][0]["name"]) == expected


def test_a_call_in_progress_is_shown_by_its_parts(capsys, archive):
    record = only(archive)
    next(archive.glob("calls/*/*/*/*.json")).unlink()
    (archive / "index.sqlite").unlink()
    told = shown(capsys, archive, record["call_id"][:10])
    assert "通話中 in progress" in told
    assert "0:40 + 0:10" in told
    assert "31#" in told
    view = gathering.gather(find(Archive(archive), record["call_id"][:10]), 100)
    assert view.samples == sum(part["samples"] for part in record["parts"])
    assert [hold.samples for hold in view.head.holds] == [80_000]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("xyz", "no call is named so: give the first 6 or more hexadecimal digits of its id, or a part's file"),
        ("abc", "no call is named so: give the first 6 or more hexadecimal digits of its id, or a part's file"),
        ("../../etc/passwd", "no call is named so: give the first 6 or more hexadecimal digits of its id, or a part's"),
        ("0123456789abcdef", "0123456789abcdef: there is no such call in the archive"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(capsys, archive, wanted, told):
    said = shown(capsys, archive, wanted, code=2)
    assert said.startswith(f"rokubox: {told}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("with_index", [True, False])
def test_a_beginning_that_fits_several_names_them(capsys, archive, with_index):
    record = only(archive)
    path = next(archive.glob("calls/*/*/*/*.json"))
    twin = record["call_id"][:20] + "0" * 44
    path.with_name(f"{twin}.json").write_text(path.read_text().replace(record["call_id"], twin))
    if with_index:
        assert main(["reindex", "--archive", str(archive)]) == 0
    else:
        (archive / "index.sqlite").unlink()
    said = shown(capsys, archive, record["call_id"][:20], code=2)
    assert f"{twin[:16]}, {record['call_id'][:16]}" in said or f"{record['call_id'][:16]}, {twin[:16]}" in said
    assert record["call_id"] in shown(capsys, archive, record["call_id"][:25])


def test_text_tells_what_the_record_does(capsys, archive):
    record = only(archive)
    told = shown(capsys, archive, record["call_id"])
    for said in (
        record["caller"]["number"],
        record["callee"]["number"],
        "一部録音 partly recorded: 網内損失 network loss",
        f"{record['completeness']:.3f} %",
        "p03",
        "1×, 10.00 s, longest 10.00 s",
        "1×, 1.00 s, longest 1.00 s",
        "0:40 + 0:10 (着信側 callee)",
        "31#",
    ):
        assert said in told
    assert "\u202e" not in told
    assert "partly recorded" not in shown(capsys, archive, record["call_id"], "--lang", "ja")
    assert "一部録音" not in shown(capsys, archive, record["call_id"], "--lang", "en")


@pytest.mark.parametrize("language", Language)
def test_a_terminal_of_80_columns_shows_every_figure(archive, language):
    """Nothing is cut short, and no line is broken but the 64 digits of the id."""
    told = io.StringIO()
    sheet.show(Console(file=told, width=80, markup=False, highlight=False), view_of(archive), language)
    assert "…" not in told.getvalue()
    record = only(archive)
    for name, figure in (("packets", "packets"), ("lost", "lost"), ("late", "too_late")):
        (line,) = [line for line in told.getvalue().splitlines() if line.startswith(f"{name} ")]
        assert line.split()[-2:] == [f"{side[figure]:,}" for side in record["sides"]]
    (line,) = [line for line in told.getvalue().splitlines() if line.startswith("MOS ")]
    assert line.split()[-2:] == [f"{side['mos']:.2f}" for side in record["sides"]]


def test_legal_holds_and_later_calls_are_told(capsys, archive):
    record = only(archive)
    assert main(["hold", "--set", "case-1", record["call_id"], "--why", "y", "--archive", str(archive)]) == 0
    assert "case-1" in shown(capsys, archive, record["call_id"])


def test_the_picture_shows_things_where_they_are(archive):
    record = only(archive)
    drawing = drawn(view_of(archive))
    scale = Scale(
        left=picture.MARGIN + picture.LABEL_WIDTH,
        width=picture.WAVE_WIDTH,
        samples=sum(part["samples"] for part in record["parts"]),
    )
    ((first, samples, _),) = record["holds"]
    held = rectangles(drawing, picture.HOLD)
    assert held == [pytest.approx((scale.at(first), scale.at(samples) - scale.left), abs=0.02)] * 2
    (loss,) = rectangles(drawing, picture.GAPS[FillCause.LOSS])
    second_px = picture.WAVE_WIDTH / scale.samples * 8000
    assert loss == pytest.approx((scale.left + 20 * second_px, second_px), abs=0.3)
    assert len(rectangles(drawing, picture.GAPS[FillCause.DTMF])) == 3
    assert [said for said in texts(drawing) if "31#" in said] == ["31#"]
    assert [said for said in texts(drawing) if re.fullmatch("p0[0-9]", said)] == ["p01", "p02", "p03"]
    assert "網内損失 lost in the network: 1.00 s  (1×)" in texts(drawing)
    assert "営業 <b>&\ufffd" in texts(drawing)
    assert drawing.attrib["width"] == str(picture.WIDTH)


def test_the_wave_is_that_of_the_samples(archive):
    """Where one side is silent its wave is flat, and where it speaks it is not."""
    view = view_of(archive)
    assert view.outlines is not None
    caller, _ = view.outlines
    ((first, samples, _),) = only(archive)["holds"]
    held = (caller.edges[:-1] > first + 8000) & (caller.edges[1:] < first + samples - 8000)
    assert caller.high[held].max() == 0
    assert caller.high[~held].max() > 3000
    flat = view_of(archive, 0)
    assert flat.outlines is None
    assert len(picture.draw(view, Language.EN)) > 2 * len(picture.draw(flat, Language.EN))


def test_parts_that_are_gone_or_damaged_are_shown_as_such(capsys, archive, tmp_path):
    record = only(archive)
    first, second, _ = (next(archive.rglob(part["name"])) for part in record["parts"])
    first.write_bytes(first.read_bytes()[:3000])
    second.unlink()
    told = shown(capsys, archive, record["call_id"], "--svg", str(tmp_path / "call.svg"), code=3)
    assert "not in the archive" in told
    assert "its ZIP is damaged" in told
    drawing = ET.fromstring((tmp_path / "call.svg").read_text())
    assert len(rectangles(drawing, picture.MISSING)) == 4
    assert "保管されていないパート part not in the archive" in texts(drawing)


def test_a_call_without_a_recording_has_a_picture_too(archive):
    view = view_of(archive)
    assert view.record is not None
    nothing = replace(
        view,
        head=replace(view.head, outcome=Outcome.NOT_RECORDED, reasons=(Reason.ENCRYPTED,), holds=(), dtmf=()),
        parts=(),
        outlines=None,
    )
    assert texts(drawn(nothing)).count("録音はありません nothing is recorded") == 2
    assert "暗号化 encrypted" in " ".join(texts(drawn(nothing)))


def test_a_picture_that_cannot_be_written_is_told(capsys, archive):
    said = shown(capsys, archive, only(archive)["call_id"], "--svg", "/nowhere/call.svg", code=2)
    assert said == "rokubox: --svg: cannot write /nowhere/call.svg: No such file or directory\n"


@pytest.mark.parametrize("terms", [Words, Side, FillCause, Outcome, Direction, Reason])
def test_every_term_has_words_in_both_languages(terms):
    for term in terms:
        each: Term = term
        assert label(each, Language.BOTH) == f"{label(each, Language.JA)} {label(each, Language.EN)}"
        assert label(each, Language.EN).isascii()
        assert not label(each, Language.JA).isascii()


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("<>&\"'\0\x1b\u202e\ufffe")))
def test_any_text_makes_a_picture_that_can_be_read(text):
    drawing = ET.fromstring(svg.document(10, 10, text, [svg.text(0, 0, text, fill=text)]))
    (said,) = drawing.iter(f"{SVG}text")
    assert len(said.text or "") == len(text)
    assert "\u202e" not in (said.text or "")


@given(
    stretches=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3000)), max_size=300),
    samples=st.integers(1, 10_000),
)
def test_spans_lie_within_the_lane_apart_and_cover_what_they_stand_for(stretches, samples):
    scale = Scale(left=100, width=500, samples=samples)
    spans = scale.spans(stretches, 2.0)
    assert all(width >= 2.0 - 1e-9 and left >= 100 - 1e-9 and left + width <= 600 + 1e-9 for left, width in spans)
    ends = [(left, left + width) for left, width in spans]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    assert len(spans) <= 250
    for first, length in stretches:
        middle = (scale.at(first) + scale.at(first + length)) / 2
        assert any(left - 1.01 <= middle <= right + 1.01 for left, right in ends)


@settings(deadline=None)
@given(samples=st.integers(0, 400_000_000))
def test_ticks_are_apart_and_not_too_few(samples):
    ticks = Scale(left=0, width=1000, samples=samples).ticks(80)
    places = [x for x, _ in ticks]
    assert all(after - before >= 79.9 for before, after in itertools.pairwise(places))
    assert samples < 8000 or len(ticks) >= 4 or samples > 8000 * 86_400 * 4
    assert len({name for _, name in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (0.5, "0:00.5"), (65, "1:05"), (3600, "1:00:00"), (86_399.96, "24:00:00")]
)
def test_clock(seconds, shown):
    assert clock(seconds) == shown


def test_many_keys_stay_in_their_lane(archive):
    view = view_of(archive, 0)
    keys = tuple(
        Dtmf(side=SIDES[at % 2], digit="5", first_sample=at * 100, samples=80, source=DtmfSource.RTP)
        for at in range(5000)
    )
    drawing = drawn(replace(view, head=replace(view.head, dtmf=keys)))
    boxes = rectangles(drawing, picture.KEY)
    assert 2 <= len(boxes) < 200
    assert all(left + width <= picture.WIDTH for left, width in boxes)
