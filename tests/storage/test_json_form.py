import json

import pytest

from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import from_json, to_json
from storage.part_record import PartRecord
from storage.records import Party, masked
from storage.vocabulary import Outcome, Reason
from tests.storage.samples import DTMF, call_record, part_record


@pytest.mark.parametrize(("record", "kind"), [(part_record(), PartRecord), (call_record(), CallRecord)])
def test_read_back_is_the_same_record_and_the_same_bytes(record, kind):
    stored = to_json(record)
    assert from_json(stored, kind) == record
    assert to_json(from_json(stored, kind)) == stored


def test_the_form_is_canonical():
    stored = to_json(part_record())
    loaded = json.loads(stored)
    assert stored == json.dumps(loaded, ensure_ascii=False, indent=1).encode() + b"\n"
    assert list(loaded) == list(PartRecord.__dataclass_fields__)
    assert loaded["channels"][0]["streams"][0]["fill"] == [[160, 160, "loss"], [1600, 160, "hold"]]
    assert loaded["holds"] == [[1600, 160, "callee"]]
    assert "発信".encode() in stored


def test_undecodable_signalling_is_written_all_the_same():
    stored = to_json(part_record(caller=Party(number="1", display="a\udc80b", uri="")))
    assert json.loads(stored)["caller"]["display"] == "a\ufffdb"
    assert list(json.loads(stored)) == list(PartRecord.__dataclass_fields__)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"rokubox.call/1"', b'"rokubox.call/2"'),
        (b'"partly"', b'"lost"'),
        (b'"partly"', b'"recorded"'),
        (b'"network_loss"', b'"not_answered"'),
        (b'"0x0000beef"', b'"0xBEEF"'),
        (b"+09:00", b"Z"),
        (b'"packets": 99', b'"packets": -1'),
        (b'"5"', b'"Z"'),
        (b"_p01.zip", b"_p01.zip/../x"),
        (b"\n}", b""),
        ("発".encode(), b"\xff"),
    ],
)
def test_a_damaged_record_is_refused(before, after):
    stored = to_json(call_record())
    assert before in stored
    with pytest.raises(DamagedRecordError, match="not a CallRecord"):
        from_json(stored.replace(before, after), CallRecord)


@pytest.mark.parametrize(
    ("outcome", "reasons", "fits"),
    [
        (Outcome.RECORDED, (), True),
        (Outcome.RECORDED, (Reason.NETWORK_LOSS,), False),
        (Outcome.PARTLY, (), False),
        (Outcome.PARTLY, (Reason.DISK_FULL, Reason.ENCRYPTED), True),
        (Outcome.PARTLY, (Reason.ENCRYPTED,), True),
        (Outcome.PARTLY, (Reason.NO_MEDIA,), False),
        (Outcome.NOT_RECORDED, (Reason.CAPTURE_LOSS,), True),
        (Outcome.NOT_EXPECTED, (Reason.RULE_PREFIX_00,), True),
        (Outcome.NOT_EXPECTED, (Reason.NO_MEDIA,), False),
    ],
)
def test_the_first_reason_must_be_able_to_decide(outcome, reasons, fits):
    if fits:
        assert call_record(outcome=outcome, reasons=reasons).reasons == reasons
    else:
        with pytest.raises(ValueError, match=f"outcome {outcome} with reasons"):
            call_record(outcome=outcome, reasons=reasons)


def test_masked_digits_keep_their_place():
    (event,) = masked(DTMF)
    assert (event.digit, event.first_sample, event.samples) == ("x", 800, 400)
