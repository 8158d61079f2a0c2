"""The JSON Schemas (draft 2020-12) of what the archive holds, made from the record classes.

`python -m storage.schema_export` writes them into `storage/schema/`; a test compares. They are stricter than reading
is: every property is required and no other is allowed.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from storage import call_record, late_record, part_record, records, vocabulary
from storage.call_record import CallRecord
from storage.late_record import LateRecord
from storage.part_record import PartRecord
from storage.vocabulary import DECIDING_REASONS

SCHEMA_DIRECTORY = Path(__file__).parent / "schema"
SCHEMAS: dict[str, type] = {
    "part-1.schema.json": PartRecord,
    "call-1.schema.json": CallRecord,
    "late-1.schema.json": LateRecord,
}


def schema_of(record: type) -> dict[str, Any]:
    """The strict schema of one of the archive's record classes."""
    known = vars(vocabulary) | vars(records) | vars(part_record) | vars(call_record) | vars(late_record)
    return strict_schema(record, known, {"allOf": _outcome_rules()} if record is CallRecord else {})


def strict_schema(record: type, known: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """The strict schema of a record class, with the classes' and fields' docstrings as descriptions.

    `known` finds the classes of its fields by their names, `rules` go into the root.
    """
    generated = msgspec.json.schema(record)
    definitions = generated["$defs"]
    for name, definition in definitions.items():
        _tighten(definition, known[name])
    root: dict[str, Any] = definitions.pop(record.__name__) | rules
    identity: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:" + root["properties"]["schema"]["enum"][0].replace(".", ":").replace("/", "-"),
    }
    return identity | root | {"$defs": dict(sorted(definitions.items()))}


def schema_bytes(record: type) -> bytes:
    """The schema as it is committed."""
    return msgspec.json.format(msgspec.json.encode(schema_of(record)), indent=1) + b"\n"


def export(directory: Path = SCHEMA_DIRECTORY) -> None:
    """Write all schemas into `directory`."""
    for name, record in SCHEMAS.items():
        (directory / name).write_bytes(schema_bytes(record))


def _tighten(definition: dict[str, Any], record: type) -> None:
    definition["description"] = inspect.cleandoc(record.__doc__ or "")
    described = _field_docstrings(record)
    if "properties" in definition:
        fields = definition["properties"]
        definition["properties"] = {name: {"description": described[name]} | fields[name] for name in described}
        for field in definition["properties"].values():
            field.pop("default", None)
        definition["required"] = list(described)
        definition["additionalProperties"] = False
    elif "prefixItems" in definition:
        definition["prefixItems"] = [
            {"title": name, "description": text} | item
            for (name, text), item in zip(described.items(), definition["prefixItems"], strict=True)
        ]


def _field_docstrings(record: type) -> dict[str, str]:
    """The string under each field of a class, by the field's name, in order of declaration."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    described = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            described[field.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return described


def _outcome_rules() -> list[dict[str, Any]]:
    """The first reason decides: which ones may do so for each outcome."""
    return [
        {
            "if": {"properties": {"outcome": {"const": outcome}}},
            "then": {
                "properties": {
                    "reasons": {"minItems": 1, "prefixItems": [{"enum": list(reasons)}]} if reasons else {"maxItems": 0}
                }
            },
        }
        for outcome, reasons in DECIDING_REASONS.items()
    ]


if __name__ == "__main__":
    export()
