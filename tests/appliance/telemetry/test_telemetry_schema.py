import json

import jsonschema
import pytest

from appliance.telemetry.schema_export import ASYNCAPI, CHANNELS, MESSAGES, SCHEMA_DIRECTORY, documents, schema_name
from appliance.telemetry.topics import BoxTopics, split


def test_the_committed_documents_are_the_generated_ones():
    committed = {file.name: file.read_bytes() for file in SCHEMA_DIRECTORY.iterdir()}
    assert committed == documents()


@pytest.mark.parametrize("message", MESSAGES)
def test_every_schema_is_strict_and_described(message):
    schema = json.loads((SCHEMA_DIRECTORY / schema_name(message)).read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    for definition in (schema, *schema["$defs"].values()):
        assert definition["description"]
        if "properties" in definition:
            assert definition["required"] == list(definition["properties"])
            assert definition["additionalProperties"] is False


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = json.loads((SCHEMA_DIRECTORY / ASYNCAPI).read_bytes())
    assert document["asyncapi"] == "3.0.0"

    def references(tree):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if key == "$ref":
                yield value
            elif isinstance(value, dict | list):
                yield from references(value)

    for reference in references(document):
        if reference.startswith("#/"):
            found = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]
        else:
            assert (SCHEMA_DIRECTORY / reference).is_file()
    for channel in document["channels"].values():
        if channel["address"]:
            assert all(f"{{{name}}}" in channel["address"] for name in channel["parameters"])
            assert channel["address"].count("{") == len(channel["parameters"])


def test_every_topic_of_a_box_has_its_channel():
    topics = BoxTopics.of("A/B", "site #1", "+RB")
    assert topics.root == "rec/v1/A-B/site -1/-RB"
    made = (
        topics.status,
        topics.info,
        topics.health,
        topics.alarm("{id}"),
        topics.event("{kind}"),
        topics.call_summary,
        topics.checkpoint,
        topics.test_result,
        topics.command("{command}"),
    )
    assert [topic.removeprefix(f"{topics.root}/") for topic in made] == [channel.topic for channel in CHANNELS]


def test_a_topic_is_taken_apart_again():
    topics = BoxTopics.of("A", "B", "C")
    assert split(topics.alarm("x")) == (topics, "alarm/x")
    assert topics.command_of(topics.command("ack")) == "ack"
    assert topics.command_of(topics.command("ack/now")) == ""
    assert topics.command_of(BoxTopics.of("A", "B", "D").command("ack")) == ""
    for strange in ("rec/v1/A/B/C", "rec/v2/A/B/C/status", "homeassistant/x", "rec/v1//B/C/status"):
        assert split(strange) is None
