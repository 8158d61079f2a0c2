"""The JSON Schemas and the AsyncAPI 3.0 document of the telemetry, made from the message classes and the topics.

`python -m appliance.telemetry.schema_export` writes them into `appliance/telemetry/schema/`; a test compares.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.alarms import alarm, kind
from appliance.telemetry import messages
from appliance.telemetry.messages import (
    AlarmMessage,
    CallSummary,
    CommandAnswer,
    CommandRequest,
    Event,
    Health,
    Info,
    LedgerCheckpoint,
    SelfTestResult,
    Status,
)
from appliance.telemetry.topics import PREFIX
from storage import vocabulary
from storage.schema_export import strict_schema

SCHEMA_DIRECTORY = Path(__file__).parent / "schema"
ASYNCAPI = "asyncapi.json"
_PARAMETERS = {
    "customer": "Customer, as one level of a topic.",
    "site": "Site, as one level of a topic.",
    "serial": "Serial number of the box, as one level of a topic.",
    "id": "Id of the alarm: its type and ten digits that stand for resource and qualifier.",
    "kind": "What happened.",
    "command": "What the box is asked to do.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic and what goes over it."""

    name: str
    """Its key in the document."""
    topic: str
    """Behind the box's own levels."""
    message: type
    """What it carries."""
    retained: bool
    """The broker keeps the last one."""
    purpose: str
    """What it is for."""
    receives: bool = False
    """The box listens here."""
    answer: type | None = None
    """What it answers, on the response topic of the request."""


CHANNELS = (
    Channel(name="status", topic="status", message=Status, retained=True, purpose="Online or offline; also the will."),
    Channel(name="info", topic="info", message=Info, retained=True, purpose="What the box is, at each connection."),
    Channel(name="health", topic="health", message=Health, retained=True, purpose="How it is, every interval_s."),
    Channel(
        name="alarm",
        topic="alarm/{id}",
        message=AlarmMessage,
        retained=True,
        purpose="A change of an alarm. After the one that clears it an empty message takes the retained one away.",
    ),
    Channel(name="event", topic="event/{kind}", message=Event, retained=False, purpose="Something happened."),
    Channel(name="callSummary", topic="call/summary", message=CallSummary, retained=False, purpose="A call has ended."),
    Channel(
        name="ledgerCheckpoint",
        topic="ledger/checkpoint",
        message=LedgerCheckpoint,
        retained=True,
        purpose="The ledger's newest signed checkpoint.",
    ),
    Channel(
        name="testResult", topic="test/result", message=SelfTestResult, retained=False, purpose="A self-test has ended."
    ),
    Channel(
        name="command",
        topic="cmd/{command}",
        message=CommandRequest,
        retained=False,
        purpose="The box is asked to do something; off unless the configuration lists the command.",
        receives=True,
        answer=CommandAnswer,
    ),
)
MESSAGES: tuple[type, ...] = (*(channel.message for channel in CHANNELS), CommandAnswer)


def schema_name(message: type) -> str:
    """File name of a message's schema, such as `alarm-1.schema.json`."""
    return f"{identity(message).removeprefix('rokubox.').replace('/', '-')}.schema.json"


def identity(message: type) -> str:
    """What stands in the message's field `schema`, such as `rokubox.alarm/1`."""
    return str(message.__dataclass_fields__["schema"].default)  # type: ignore[attr-defined]


def schema_of(message: type) -> dict[str, Any]:
    """The strict schema of a message class."""
    return strict_schema(message, vars(vocabulary) | vars(kind) | vars(alarm) | vars(messages), {})


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document. `send` is what the box does."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rokubox telemetry",
            "version": "1.0.0",
            "description": "What a call recorder tells the NOC. Every message is sent with QoS 1 until it is confirmed;"
            " whoever gets one twice knows it by its message_id.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}:8883",
                "protocol": "secure-mqtt",
                "protocolVersion": "5.0",
                "variables": {"host": {"description": "The NOC's broker."}},
                "security": [{"$ref": "#/components/securitySchemes/certificate"}],
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS} | {"response": _response()},
        "operations": {channel.name: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {message.__name__: _message(message) for message in MESSAGES},
            "securitySchemes": {"certificate": {"type": "X509", "description": "A client certificate for each box."}},
        },
    }


def export(directory: Path = SCHEMA_DIRECTORY) -> None:
    """Write everything into `directory`."""
    directory.mkdir(exist_ok=True)
    for name, document in documents().items():
        (directory / name).write_bytes(document)


def documents() -> dict[str, bytes]:
    """Every file as it is committed, by name."""
    trees = {schema_name(message): schema_of(message) for message in MESSAGES} | {ASYNCAPI: asyncapi()}
    return {name: msgspec.json.format(msgspec.json.encode(tree), indent=1) + b"\n" for name, tree in trees.items()}


def _channel(channel: Channel) -> dict[str, Any]:
    address = f"{PREFIX}/{{customer}}/{{site}}/{{serial}}/{channel.topic}"
    used = {name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in address}
    name = channel.message.__name__
    return {
        "address": address,
        "description": channel.purpose,
        "parameters": used,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _response() -> dict[str, Any]:
    name = CommandAnswer.__name__
    return {
        "address": None,
        "description": "The response topic of a request (MQTT 5).",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": "receive" if channel.receives else "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }
    if channel.answer is not None:
        operation["reply"] = {
            "address": {
                "location": "$message.header#/responseTopic",
                "description": "Response Topic of MQTT 5; Correlation Data comes back with the answer.",
            },
            "channel": {"$ref": "#/channels/response"},
        }
    return operation


def _message(message: type) -> dict[str, Any]:
    return {
        "name": message.__name__,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{schema_name(message)}"},
        },
    }


if __name__ == "__main__":
    export()
