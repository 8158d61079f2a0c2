"""The known call through the real capture path, and what is made of results that are not as they should be."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.condition import observed
from appliance.diagnosis.endtoend import knowncall, rig, testcall
from appliance.diagnosis.endtoend.rig import Outcome
from appliance.diagnosis.endtoend.testcall import Result
from appliance.diagnosis.evidence import Cause, State
from storage.archive import Archive
from tests.appliance.journals import assemble, write_journal
from tests.scenario import call
from tests.traffic import g711
from tests.traffic.calls import play


def archive_in(folder: Path) -> Archive:
    archive = Archive(folder / "archive")
    archive.run.mkdir(parents=True)
    return archive


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root for a network of its own")
def test_the_known_call_comes_out_sample_exact(tmp_path):
    archive = archive_in(tmp_path)
    check = testcall.run(archive, archive.spool)
    assert (check.state, check.target) == (State.OK, "")
    assert {figure.name: figure.value for figure in check.figures}["samples"] == 32_000
    assert testcall.latest(archive).state is State.OK
    assert not testcall.is_due(archive)
    assert list(archive.spool.iterdir()) == []
    assert sorted(path.name for path in archive.root.iterdir()) == ["run", "spool"]


def test_what_is_known_is_known_for_ever():
    sides = [g711.decode(np.frombuffer(knowncall.codes(side), np.uint8), g711.PCMU) for side in (0, 1)]
    assert knowncall.digest(*sides) == knowncall.SAMPLES_SHA256
    assert all(len(set(knowncall.codes(side))) == 256 for side in (0, 1))


def test_another_call_in_its_place_is_noticed(tmp_path):
    archive = archive_in(tmp_path)
    write_journal(archive.journal, play(call(talk_s=2.0)).packets)
    assemble(archive.root)
    outcome = rig.compare(archive)
    assert outcome.wrong > 20_000


def test_no_recording_is_noticed(tmp_path):
    assert rig.compare(archive_in(tmp_path)).trouble == "0 recordings of 0 calls, 1 of 1 expected"


@pytest.mark.parametrize(
    ("age_s", "outcome", "ran", "state", "cause"),
    [
        (0, Outcome(samples=32_000), True, State.OK, Cause.NONE),
        (0, Outcome(samples=32_000, wrong=1), True, State.NG, Cause.DIFFERS),
        (0, Outcome(trouble="capture did not begin"), True, State.NG, Cause.DIFFERS),
        (0, Outcome(trouble="the rig could not be set up"), False, State.UNKNOWN, Cause.NOT_PERMITTED),
        (30 * 3600, Outcome(samples=32_000), True, State.UNKNOWN, Cause.OVERDUE),
        (-3600, Outcome(samples=32_000), True, State.UNKNOWN, Cause.OVERDUE),
    ],
)
def test_results(age_s, outcome, ran, state, cause, tmp_path):
    archive = archive_in(tmp_path)
    at_ns = time.time_ns() - age_s * 1_000_000_000
    observed.write(archive.run, testcall.NAME, Result(at_ns=at_ns, took_s=6.0, outcome=outcome, ran=ran))
    check = testcall.latest(archive)
    assert (check.state, check.cause) == (state, cause)


def test_without_a_result_it_is_due(tmp_path):
    assert testcall.is_due(archive_in(tmp_path))
