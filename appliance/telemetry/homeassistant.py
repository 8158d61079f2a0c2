"""MQTT discovery of Home Assistant: one retained message that announces the box and what can be seen of it. Pure.

Device discovery (`PREFIX/device/ID/config`, Home Assistant 2024.11): nothing is published twice, the entities read what
is there: `status` and `health`.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.telemetry.topics import BoxTopics

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entity:
    """Something that can be seen."""

    key: str
    name: str
    value: str
    """Template that takes it out of `health`."""
    device_class: str = ""
    unit: str = ""
    platform: str = "sensor"


_ENTITIES = (
    _Entity(key="problem", name="警報 alarm", platform="binary_sensor", device_class="problem",
            value="{{ 'ON' if value_json.alarms.critical + value_json.alarms.major > 0 else 'OFF' }}"),
    _Entity(key="critical", name="critical alarms", value="{{ value_json.alarms.critical }}"),
    _Entity(key="major", name="major alarms", value="{{ value_json.alarms.major }}"),
    _Entity(key="recorded", name="録音済み calls recorded today", value="{{ value_json.calls.recorded }}"),
    _Entity(key="not_recorded", name="録音なし calls not recorded today", value="{{ value_json.calls.not_recorded }}"),
    _Entity(key="completeness", name="完全性 completeness", value="{{ value_json.calls.completeness }}", unit="%"),
    _Entity(key="disk_free", name="空き容量 disk free", value="{{ value_json.disk.free_bytes }}",
            device_class="data_size", unit="B"),
    _Entity(key="temperature", name="温度 temperature", value="{{ value_json.temperature_c }}",
            device_class="temperature", unit="°C"),
)  # fmt: skip


def announcement(topics: BoxTopics, *, prefix: str, software: str, hardware: str) -> tuple[str, bytes]:
    """The topic and the message."""
    id = _UNFIT.sub("_", f"rokubox_{topics.customer}_{topics.site}_{topics.serial}")
    online = {"topic": topics.status, "value_template": "{{ value_json.state }}"}
    components: dict[str, Any] = {
        "online": {
            "platform": "binary_sensor",
            "unique_id": f"{id}_online",
            "name": "接続 connected",
            "device_class": "connectivity",
            "state_topic": topics.status,
            "value_template": "{{ value_json.state }}",
            "payload_on": "online",
            "payload_off": "offline",
        }
    }
    for entity in _ENTITIES:
        components[entity.key] = {
            "platform": entity.platform,
            "unique_id": f"{id}_{entity.key}",
            "name": entity.name,
            "state_topic": topics.health,
            "value_template": entity.value,
            "availability": [online],
            **({"device_class": entity.device_class} if entity.device_class else {}),
            **({"unit_of_measurement": entity.unit} if entity.unit else {}),
        }
    document = {
        "device": {
            "identifiers": [id],
            "name": f"rokubox {topics.site} {topics.serial}",
            "manufacturer": "rokubox",
            "model": hardware or "rokubox",
            "serial_number": topics.serial,
            "sw_version": software,
        },
        "origin": {"name": "rokubox", "sw_version": software},
        "components": components,
        "qos": 1,
    }
    return f"{prefix}/device/{id}/config", msgspec.json.encode(document)
