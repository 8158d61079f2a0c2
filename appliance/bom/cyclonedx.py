"""The list as CycloneDX 1.5 JSON (ECMA-424): written and read. Pure, and the same bytes for the same packages."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.bom.component import Component

_SPECIFICATION = "1.5"
_SOURCE, _NAMESPACE = "rokubox:source", uuid.UUID("7d9b8f3e-5a0c-4f5e-9d1a-6f6b6f780010")


def serialize(components: Sequence[Component], version: str) -> bytes:
    """Return the list of a product of this version, indented."""
    listed = [_component(each) for each in sorted(components)]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": _SPECIFICATION,
        "version": 1,
        "metadata": {
            "component": {"type": "firmware", "bom-ref": "rokubox", "name": "rokubox", "version": version},
        },
        "components": listed,
    }
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, msgspec.json.encode(content).decode())}"
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def parse(octets: bytes) -> list[Component]:
    """Read a list that `serialize` has written. Raises ValueError for anything else."""
    return [_read(each) for each in msgspec.json.decode(octets, type=_List).components]


class _Licence(msgspec.Struct):
    name: str


class _LicenceChoice(msgspec.Struct):
    license: _Licence


class _Property(msgspec.Struct):
    name: str
    value: str


class _Component(msgspec.Struct):
    name: str
    version: str
    purl: str
    licenses: list[_LicenceChoice] = []
    properties: list[_Property] = []


class _List(msgspec.Struct):
    components: list[_Component]


def _component(component: Component) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    }
    if component.licences:
        told["licenses"] = [{"license": {"name": name}} for name in component.licences]
    if component.source:
        told["properties"] = [{"name": _SOURCE, "value": component.source}]
    return told


def _read(told: _Component) -> Component:
    ecosystem = told.purl.removeprefix("pkg:").partition("/")[0]
    return Component(
        ecosystem=ecosystem,
        name=told.name,
        version=told.version,
        licences=tuple(each.license.name for each in told.licenses),
        source=next((each.value for each in told.properties if each.name == _SOURCE), ""),
        architecture=told.purl.partition("?arch=")[2],
    )
