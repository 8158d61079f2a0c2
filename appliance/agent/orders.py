"""What the agent is asked, on its socket or by the NOC. Pure but for the table of alarms, which it changes.

| order      | arguments                              | done                                                       |
|------------|----------------------------------------|------------------------------------------------------------|
| `ack`      | `alarm`, `comment`                     | acknowledged; what has to be notified counts as notified   |
| `shelve`   | `alarm`, `hours` (1 to 168), `comment` | nobody is bothered with it for so long                     |
| `unshelve` | `alarm`                                | taken from the shelf                                       |
| `test`     | `type`, `seconds` (1 to 3600)          | a test alarm of that type stands for so long               |
| `report`   | `type`, `what`                         | another program of the box has failed at this: an alarm    |
| `over`     | `type`                                 | and now it has not                                         |
| `health`   |                                        | `health` and `info` are published at once                  |
| `alarms`   |                                        | every alarm that stands is published once more             |
| `selftest` |                                        | a self-test begins; its result comes on `test/result`      |
| `update`   | `url`                                  | an update begins; how it goes comes on `event/update`      |

`alarm` is an id, or a number of the catalogue when only one alarm of that number stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.alarms.alarm import Acknowledgement, Alarm, AlarmKey, Condition, Fact, Shelving
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmName
from appliance.alarms.table import NS, AlarmTable
from capture.bootline import ClockReading

MAX_SHELF_H, MAX_TEST_S = 168, 3600
MAX_COMMENT, MAX_URL = 200, 500
TEST_SOURCE, REPORTED_SOURCE = "test", "reported"
REPORTABLE = frozenset({AlarmName.UPDATE_FAILED})
"""What only other programs of the box know."""


class Order(StrEnum):
    """What can be asked."""

    ACK = "ack"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    TEST = "test"
    REPORT = "report"
    OVER = "over"
    HEALTH = "health"
    ALARMS = "alarms"
    SELFTEST = "selftest"
    UPDATE = "update"


class OrderError(Exception):
    """It cannot be done; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an order."""

    problem: str = ""
    """Why it was not done; empty when it was."""
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Orders:
    """Carries out orders."""

    table: AlarmTable
    noted: Callable[[Alarm], None]
    """An alarm was acknowledged."""
    errands: Mapping[Order, Callable[[], None]]
    """What begins other orders."""
    update: Callable[[str], str] | None = None
    """Begins an update from a URL; says why not, or nothing. None: this box has no slots."""
    tests: dict[AlarmKey, int] = field(default_factory=dict)
    """Test alarms, and until which boot time they stand."""
    reported: dict[AlarmKey, Condition] = field(default_factory=dict)
    """What other programs have said and not taken back, also to an earlier process."""

    def __post_init__(self) -> None:
        """Take up what stands."""
        for alarm in self.table.raised:
            if alarm.source == REPORTED_SOURCE:
                self.reported[alarm.key] = Condition(key=alarm.key, facts=alarm.facts)

    def carry_out(self, name: str, arguments: Mapping[str, Fact], by: str, now: ClockReading) -> Outcome:
        """Do what is asked."""
        try:
            order = Order(name)
            return Outcome(facts=self._do(order, _Arguments(arguments), by[:MAX_COMMENT], now))
        except ValueError:
            return Outcome(problem=f"no order {name!r}; there are {', '.join(Order)}")
        except OrderError as error:
            return Outcome(problem=str(error))

    def test_conditions(self, now: ClockReading) -> list[Condition]:
        """The test alarms that stand now."""
        self.tests = {key: until_ns for key, until_ns in self.tests.items() if until_ns > now.boot_ns}
        return [Condition(key=key, test=True) for key in self.tests]

    def _do(self, order: Order, arguments: "_Arguments", by: str, now: ClockReading) -> dict[str, Fact]:
        match order:
            case Order.ACK:
                alarm = self._standing(arguments.text("alarm"))
                comment = arguments.text("comment", "")
                self.table.acknowledge(alarm.key, Acknowledgement(by=by, at_ns=now.real_ns, comment=comment), now)
                self.noted(alarm)
                return {"alarm": alarm.key.id}
            case Order.SHELVE:
                alarm = self._standing(arguments.text("alarm"))
                until_ns = now.real_ns + arguments.number("hours", 1, MAX_SHELF_H) * 3600 * NS
                comment = arguments.text("comment", "")
                shelving = Shelving(by=by, at_ns=now.real_ns, until_ns=until_ns, comment=comment)
                self.table.shelve(alarm.key, shelving, now)
                return {"alarm": alarm.key.id}
            case Order.UNSHELVE:
                return {"alarm": self._unshelve(arguments.text("alarm"), now)}
            case Order.TEST:
                return {"alarm": self._test(arguments, now)}
            case Order.REPORT:
                key = self._reportable(arguments)
                self.reported[key] = Condition(key=key, facts={"what": arguments.text("what", "")})
                return {"alarm": key.id}
            case Order.OVER:
                key = self._reportable(arguments)
                self.reported.pop(key, None)
                return {"alarm": key.id}
            case Order.UPDATE:
                if self.update is None:
                    raise OrderError("update is not possible on this box")
                if problem := self.update(arguments.text("url", most=MAX_URL)):
                    raise OrderError(problem)
                return {}
            case _:
                if order not in self.errands:
                    raise OrderError(f"{order} is not possible on this box")
                self.errands[order]()
                return {}

    def _standing(self, named: str) -> Alarm:
        found = [
            alarm for alarm in self.table.raised if named in (alarm.key.id, str(catalogue()[alarm.key.name].number))
        ]
        if len(found) > 1:
            raise OrderError(f"{len(found)} alarms of number {named} stand; give the id of one")
        if not found:
            raise OrderError(f"no alarm {named!r} stands")
        return found[0]

    def _unshelve(self, named: str, now: ClockReading) -> str:
        for key in self.table.shelved:
            if named in (key.id, str(catalogue()[key.name].number)):
                self.table.unshelve(key, now)
                return key.id
        raise OrderError(f"no alarm {named!r} is shelved")

    def _reportable(self, arguments: "_Arguments") -> AlarmKey:
        name = arguments.text("type")
        if name not in REPORTABLE:
            raise OrderError(f"{name!r} cannot be reported; what can is {', '.join(sorted(REPORTABLE))}")
        return AlarmKey(resource="firmware", name=AlarmName(name))

    def _test(self, arguments: "_Arguments", now: ClockReading) -> str:
        name = arguments.text("type")
        if name not in set(AlarmName):
            raise OrderError(f"no alarm of type {name!r}; docs/alarms.md lists them")
        key = AlarmKey(resource="test", name=AlarmName(name))
        self.tests[key] = now.boot_ns + arguments.number("seconds", 1, MAX_TEST_S, 60) * NS
        return key.id


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What came with an order."""

    given: Mapping[str, Fact]

    def text(self, name: str, instead: str | None = None, *, most: int = MAX_COMMENT) -> str:
        value = self.given.get(name, instead)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise OrderError(f"argument {name!r} is missing, or no text")
        text = " ".join(str(value).split())
        if len(text) > most or not text.isprintable():
            raise OrderError(f"argument {name!r} must be one line of at most {most} characters")
        return text

    def number(self, name: str, least: int, most: int, instead: int | None = None) -> int:
        value = self.given.get(name, instead)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise OrderError(f"argument {name!r} must be a whole number from {least} to {most}")
        return value
