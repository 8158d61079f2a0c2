"""Real calls through a mirror port: every sample that was sent is in the archive, and the account says what is not.

Everything is held against both ways from the port to an archive: a capture that is imported, and live recording.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.archive_reading import StoredPart, call_records, pieces, stored_parts
from tests.lab.calls import Plan
from tests.lab.network import why_not
from tests.lab.recorders import RECORDERS
from tests.lab.variants import VARIANTS, Run, run
from tests.recorded_truth import differences
from tests.scenario import causes
from tests.traffic.pcapwriter import Transport

Lab = Callable[[str], Run]
WAYS = tuple(RECORDERS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Runs a variant once, with all recorders watching, for all tests that ask for it."""
    if reason := why_not():
        pytest.skip(reason)

    @cache
    def ran(name: str) -> Run:
        return run(VARIANTS[name], tmp_path_factory.mktemp(name.replace(" ", "-")), WAYS)

    return ran


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("way", WAYS)
def test_every_sample_is_in_its_place(lab: Lab, name: str, way: str) -> None:
    done = lab(name)
    assert done.log.missed == 0
    assert differences(done.archives[way], done.truth) == []
    for record in call_records(done.archives[way]):
        assert tuple(record["reasons"]) == done.variant.reasons
        assert record["outcome"] == ("partly" if done.variant.reasons else "recorded")
        assert record["too_late"] == []


@pytest.mark.parametrize("name", VARIANTS)
def test_the_mirror_port_never_sends(lab: Lab, name: str) -> None:
    assert lab(name).sent_by_recorder == (0, 0)


@pytest.mark.parametrize("name", VARIANTS)
def test_live_and_import_find_the_same(lab: Lab, name: str) -> None:
    """Byte by byte. Not for SIP over TCP, whose frames the kernel stamps anew for each that watches."""
    done = lab(name)
    imported, live = (parts_by_call(done.archives[way]) for way in ("import", "record"))
    for call in done.variant.calls:
        if call.transport is Transport.UDP:
            one, other = imported[call.call_id], live[call.call_id]
            assert one.path.name == other.path.name
            assert one.wav == other.wav
            assert one.record["channels"] == other.record["channels"]


@pytest.mark.parametrize("way", WAYS)
def test_loss_is_what_the_relay_dropped(lab: Lab, way: str) -> None:
    done = lab("loss")
    assert len(done.log.dropped) > 5
    assert total(done, way, "lost") == len(done.log.dropped)
    assert total(done, way, "packets") == 4 * 250 - len(done.log.dropped)


@pytest.mark.parametrize("way", WAYS)
def test_reordering_is_counted_and_changes_nothing(lab: Lab, way: str) -> None:
    done = lab("reordered")
    assert len(done.log.delayed) > 5
    assert 0 < total(done, way, "reordered") <= len(done.log.delayed)
    assert total(done, way, "lost") == 0


@pytest.mark.parametrize("way", WAYS)
def test_packets_200_ms_late_are_kept(lab: Lab, way: str) -> None:
    """A telephone throws them away."""
    done = lab("late")
    assert len(done.log.delayed) > 5
    assert (total(done, way, "too_late"), total(done, way, "lost")) == (0, 0)
    assert total(done, way, "packets") == 4 * 250


@pytest.mark.parametrize("way", WAYS)
def test_a_hole_keeps_its_length(lab: Lab, way: str) -> None:
    done = lab("hole")
    (part,) = stored_parts(done.archives[way])
    assert causes(part, 0) == {"loss": 5 * 8000}
    assert causes(part, 1) == {}
    (record,) = call_records(done.archives[way])
    assert record["sides"][0]["longest_gap_ms"] == 5000.0
    assert record["sides"][0]["lost"] == 250


@pytest.mark.parametrize("way", WAYS)
def test_a_doubled_mirror_is_counted(lab: Lab, way: str) -> None:
    done = lab("doubled")
    assert total(done, way, "duplicates") == total(done, way, "packets") == 4 * 150


@pytest.mark.parametrize("way", WAYS)
def test_a_mirror_of_one_direction_is_told(lab: Lab, way: str) -> None:
    for name, silent in (("one way", "callee"), ("one way, answers only", "caller")):
        (record,) = call_records(lab(name).archives[way])
        assert [side["side"] for side in record["sides"] if side["one_way"]] == [silent]


@pytest.mark.parametrize("way", WAYS)
def test_holds_are_told(lab: Lab, way: str) -> None:
    done = lab("telephones")
    for call in done.variant.calls:
        (record,) = records(done, way, call.call_id)
        assert [by for _, _, by in record["holds"]] == (["caller"] if call.plan in (Plan.HOLD, Plan.MUSIC) else [])


@pytest.mark.parametrize("way", WAYS)
def test_transfers_are_linked(lab: Lab, way: str) -> None:
    done = lab("telephones")
    linked = [call for call in done.variant.calls if call.transferred_from is not None]
    assert {call.takes_over for call in linked} == {False, True}
    for call in linked:
        (record,) = records(done, way, call.call_id)
        link = record["links"]["replaces" if call.takes_over else "transferred_from"]
        assert call.transferred_from is not None
        assert link["sip_call_id"] == call.transferred_from.call_id


def parts_by_call(archive: Path) -> dict[str, StoredPart]:
    """The recording of each SIP call; none is long enough for a second part."""
    return {part.record["sip"]["call_ids"][0]: part for part in stored_parts(archive)}


def total(done: Run, way: str, figure: str) -> int:
    """A figure of the streams, summed over the archive."""
    return sum(piece.stream[figure] for found in pieces(done.archives[way]).values() for piece in found)


def records(done: Run, way: str, call_id: str) -> list[dict[str, Any]]:
    """The records of one SIP call."""
    return [record for record in call_records(done.archives[way]) if call_id in record["sip"]["call_ids"]]
