import json

import jsonschema
import pytest

from storage.json_form import to_json
from storage.schema_export import SCHEMA_DIRECTORY, SCHEMAS, export, schema_bytes
from storage.vocabulary import DECIDING_REASONS, Outcome, Reason
from tests.storage.samples import call_record, part_record

PART = "part-1.schema.json"
CALL = "call-1.schema.json"


def validator(name):
    schema = json.loads((SCHEMA_DIRECTORY / name).read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(name, tmp_path):
    export(tmp_path)
    committed = (SCHEMA_DIRECTORY / name).read_bytes()
    assert committed == schema_bytes(SCHEMAS[name]) == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "record"),
    [
        (PART, part_record()),
        (PART, part_record(sip=None, answered_at=None, laws=())),
        (CALL, call_record()),
        (CALL, call_record(outcome=Outcome.RECORDED, reasons=())),
        (CALL, call_record(outcome=Outcome.NOT_EXPECTED, reasons=(Reason.NOT_ANSWERED,), parts=(), origin_at=None)),
    ],
)
def test_what_is_written_is_valid(name, record):
    validator(name).validate(json.loads(to_json(record)))


def test_every_property_has_a_description_and_is_required():
    for name in SCHEMAS:
        schema = json.loads((SCHEMA_DIRECTORY / name).read_bytes())
        for definition in (schema, *schema["$defs"].values()):
            assert definition["description"]
            if "properties" in definition:
                assert definition["required"] == list(definition["properties"])
                assert definition["additionalProperties"] is False
                assert all(field["description"] for field in definition["properties"].values())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("unexpected",), 1),
        (("schema",), "rokubox.part/2"),
        (("sample_rate",), 16000),
        (("call_id",), "0123456789"),
        (("call_id",), "A" * 64),
        (("started_at",), "2026-01-02T03:04:05+09:00"),
        (("started_at",), None),
        (("direction",), "outgoing"),
        (("holds", 0), [1, 2]),
        (("holds", 0), [1, 2, "caller", 4]),
        (("dtmf", 0, "digit"), "55"),
        (("channels", 0, "streams", 0, "ssrc"), "beef"),
        (("channels", 0, "streams", 0, "source"), "192.0.2.1"),
        (("channels", 0, "streams", 0, "mos"), 0.9),
        (("channels", 0, "streams", 0, "fill", 0, 2), "jitter"),
        (("channels", 0, "streams", 0, "fill", 0, 0), -1),
        (("channels", 0, "streams", 0, "silence_share"), 1.5),
    ],
)
def test_what_is_not_a_part_is_invalid(path, value):
    part = json.loads(to_json(part_record()))
    place = part
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator(PART).is_valid(part)


@pytest.mark.parametrize("missing", ["wav_sha256", "ended_at", "fill"])
def test_a_missing_property_is_invalid(missing):
    part = json.loads(to_json(part_record()))
    stream = part["channels"][0]["streams"][0]
    (stream if missing in stream else part).pop(missing)
    assert not validator(PART).is_valid(part)


def test_reasons_and_outcomes_are_held_together_and_all_reasons_can_decide():
    call = json.loads(to_json(call_record()))
    call["outcome"] = "recorded"
    assert not validator(CALL).is_valid(call)
    call |= {"outcome": "not_recorded", "reasons": ["one_way"]}
    assert not validator(CALL).is_valid(call)
    assert {reason for reasons in DECIDING_REASONS.values() for reason in reasons} == set(Reason)
