from pathlib import Path

import pytest

from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.page import page
from storage.vocabulary import DECIDING_REASONS, Outcome

PAGE = Path(__file__).parents[3] / "docs" / "alarms.md"
JAPANESE = range(0x3040, 0xA000)


def test_every_name_has_one_row_and_a_number_of_its_own():
    assert set(catalogue()) == set(AlarmName)
    numbers = [kind.number for kind in catalogue().values()]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", AlarmName)
def test_every_text_is_there_in_both_languages(name):
    kind = catalogue()[name]
    for words in (kind.resource, kind.title, kind.cause, kind.remedy):
        assert any(ord(character) in JAPANESE for character in words.ja)
        assert words.en.isascii()


def test_severities_are_those_of_a_standing_alarm():
    for kind in catalogue().values():
        assert Severity.CLEARED not in (kind.severity, *kind.severities)


def test_the_page_is_made_from_the_catalogue():
    assert PAGE.read_text("utf-8") == page()


def test_every_reason_for_not_recording_is_a_qualifier():
    named = catalogue()[AlarmName.CALL_NOT_RECORDED].qualifiers
    assert set(named) == set(DECIDING_REASONS[Outcome.NOT_RECORDED])
