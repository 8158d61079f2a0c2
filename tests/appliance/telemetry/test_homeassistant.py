import json
import re

from appliance.agent.daysums import DaySums
from appliance.agent.reports import Reports
from appliance.telemetry.homeassistant import announcement
from appliance.telemetry.topics import BoxTopics
from tests.appliance.agent.test_reports import IDENTITY, NOW, health_seen

TOPICS = BoxTopics.of("客先", "Osaka 1", "RB-1")


def test_every_entity_reads_what_is_published():
    topic, payload = announcement(TOPICS, prefix="homeassistant", software="rokubox 0.1.0", hardware="")
    told = json.loads(payload)
    assert re.fullmatch(r"homeassistant/device/[A-Za-z0-9_-]+/config", topic)
    assert told["device"]["identifiers"] == [topic.split("/")[2]]
    health = json.loads(Reports(IDENTITY, {}, numbers=False).health(NOW, health_seen(DaySums()))("00000000-1"))
    ids = set()
    for key, entity in told["components"].items():
        ids.add(entity["unique_id"])
        assert entity["platform"] in ("sensor", "binary_sensor")
        assert entity["state_topic"] in (TOPICS.status, TOPICS.health)
        for path in re.findall(r"value_json\.([a-z_.]+)", entity["value_template"]):
            found = health if entity["state_topic"] == TOPICS.health else {"state": "online"}
            for step in path.split("."):
                found = found[step]
            assert key
    assert len(ids) == len(told["components"])
