"""Whatever happens in between, what was saved waits until it is confirmed, in its order, and nothing comes back."""

import json
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry.outbox import Outbox, Priority
from appliance.telemetry.statefile import StateFile

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("heartbeat"), st.just("h")),
        st.tuples(st.just("save"), st.booleans()),
        st.tuples(st.just("confirm"), st.integers(0, 3)),
        st.tuples(st.just("restart"), st.just("")),
    ),
    max_size=30,
)
PRIORITIES = {"a": Priority.ALARM, "b": Priority.EVENT, "c": Priority.SUMMARY, "h": Priority.STATE}


def numbered(number, _id):
    return json.dumps(number).encode()


def refuse(_connection):
    raise OSError("the disk refuses")


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_nothing_is_lost_and_nothing_comes_back(steps):
    with tempfile.TemporaryDirectory() as folder, StateFile(Path(folder)) as state:
        outbox = Outbox(state)
        unsaved: list[tuple[str, int]] = []
        saved: list[tuple[str, int]] = []
        refused = False
        for count, (step, what) in enumerate(steps):
            if step in ("put", "heartbeat"):
                beats = step == "heartbeat"
                outbox.put(partial(numbered, count), str(what), PRIORITIES[str(what)], collapses=beats)
                if beats:
                    unsaved = [one for one in unsaved if one[0] != "h"]
                unsaved.append((str(what), count))
            elif step == "save":
                refused = not (outbox.save() if what else outbox.save(refuse))
                if not refused:
                    if any(topic == "h" for topic, _ in unsaved):
                        saved = [one for one in saved if one[0] != "h"]
                    saved, unsaved = saved + unsaved, []
            elif step == "confirm":
                waiting = outbox.pending(100)[: int(what)]
                outbox.confirm([one.n for one in waiting])
                gone = {(one.topic, json.loads(one.payload)) for one in waiting}
                saved = [one for one in saved if one not in gone]
                unsaved = [one for one in unsaved if one not in gone]
            else:
                outbox, unsaved, refused = Outbox(state), [], False
            waits = [(one.topic, json.loads(one.payload)) for one in outbox.pending(100)]
            expected = saved + (unsaved if refused else [])
            assert waits == sorted(expected, key=lambda one: PRIORITIES[one[0]])
