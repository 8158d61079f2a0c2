"""The status page as lines of text: what is there, what is wrong, what to do. Pure but for rich."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text as Line

from appliance.agent.agentstatus import MirrorSeen
from appliance.alarms.alarm import Alarm
from appliance.alarms.catalogue import catalogue
from appliance.diagnosis import texts
from appliance.diagnosis.texts import Text
from appliance.firmware import mediumanswer
from appliance.firmware.updatestatus import AMISS, State, UpdateStatus
from appliance.presentation.alarmstable import STYLES
from appliance.presentation.terminal import printable
from appliance.provisioning.outcome import ACTIONS, TITLES, Outcome, Told
from appliance.show.labels import Language
from appliance.statuspage.seen import BoxSeen, InterfaceSeen
from storage.timestamps import local_time

STALE_NS: Final = 60_000_000_000
"""What the agent said before that is no longer how it is."""
_SETTLED_NS: Final = 3_600_000_000_000
"""What went well is no news after an hour."""
_GIB: Final = 1 << 30
_FEW_PERCENT: Final = 10.0
_GOOD, _BAD, _DIM, _HEAD = "green", "bold red", "dim", "bold"
_UNKNOWN = Text("不明", "unknown")
_INDENT = "  "


def page(seen: BoxSeen, language: Language, width: int, rows: int) -> list[Line]:
    """The page, no wider and no longer than the screen; of many alarms the worst are shown."""
    page = _Page(language, width)
    top = list(page.top(seen))
    top += page.update(seen.update, seen)
    bottom = list(page.medium(seen.medium, seen)) if seen.medium is not None else list(page.ignored(seen))
    room = max(2, rows - len(top) - len(bottom))
    return [*top, *page.alarms(seen, room), *bottom][:rows]


def is_silent(seen: BoxSeen) -> bool:
    """Whether the agent has said nothing of late: what it said is no longer how it is."""
    return seen.agent is None or abs(seen.at_ns - seen.agent.at_ns) > STALE_NS


class _Page:
    """Words in one language, or two, for one width."""

    def __init__(self, language: Language, width: int) -> None:
        self._language = language
        self._languages = (Language.JA, Language.EN) if language is Language.BOTH else (language,)
        self._width = width
        self._column = 28 if language is Language.BOTH else 16

    def _said(self, ja: str, en: str) -> str:
        return Text(ja, en).told(self._language)

    def top(self, seen: BoxSeen) -> Iterator[Line]:
        """Everything but alarms and the medium."""
        now = f"{local_time(seen.at_ns, seen.zone):%Y-%m-%d %H:%M:%S %Z}"
        name = f"{seen.software}{f' [{seen.slot}]' if seen.slot else ''}"
        yield self._cut(Line(f"{name}{' ' * max(1, self._width - cell_len(name) - len(now))}{now}", style="reverse"))
        site = " / ".join(filter(None, (seen.customer, seen.site, seen.serial)))
        yield self._cut(Line(printable(site) or self._said("未設定", "not configured"), style=_HEAD))
        if seen.problem:
            yield from self._row(self._said("設定", "configuration"), Line(printable(seen.problem), style=_BAD))
        for interface in seen.interfaces:
            yield from self._row(self._said("管理ポート", "management"), self._interface(interface))
        told = {} if seen.agent is None or is_silent(seen) else {port.name: port for port in seen.agent.mirrors}
        for name in seen.mirror_ports:
            port = told.get(name, MirrorSeen(name=name))
            yield from self._row(self._said("ミラーポート", "mirror port"), self._mirror(port))
        yield from self._by_agent(seen)

    def _interface(self, seen: InterfaceSeen) -> Line:
        line = Line(f"{seen.name}  ")
        if not seen.up:
            return line.append(self._said("リンク断", "no link"), style=_BAD)
        found = ", ".join(seen.addresses)
        return line.append(found or self._said("アドレスなし", "no address"), style="" if found else _BAD)

    def _mirror(self, seen: MirrorSeen) -> Line:
        line = Line(f"{seen.name}  ")
        if seen.up is None:
            return line.append(_UNKNOWN.told(self._language), style=_DIM)
        if not seen.up:
            return line.append(self._said("リンク断", "no link"), style=_BAD)
        speed = "" if seen.speed_mbps is None else f"{seen.speed_mbps:,} Mbit/s  "
        rate = seen.frames_per_s
        line.append(speed)
        line.append(
            _UNKNOWN.told(self._language) if rate is None else f"{rate:,.0f} frames/s",
            style=_DIM if rate is None else _GOOD if rate > 0 else _BAD,
        )
        if seen.dropped:
            line.append(f"  {self._said('取りこぼし', 'dropped')} {seen.dropped:,}", style=_BAD)
        return line

    def _by_agent(self, seen: BoxSeen) -> Iterator[Line]:
        """What the agent tells; nothing of it when it is silent."""
        agent = seen.agent
        if agent is None or is_silent(seen):
            silent = self._said("監視サービスの応答がありません", "the agent is silent")
            yield from self._row(self._said("状態", "state"), Line(silent, style=_BAD))
            return
        down = [service.name for service in agent.services if not service.running]
        if down:
            yield from self._row(self._said("停止中", "not running"), Line(", ".join(down), style=_BAD))
        calls = agent.calls
        now = "-" if calls.in_progress is None else f"{calls.in_progress:,}"
        yield from self._row(self._said("通話", "calls"), Line(f"{self._said('通話中', 'now')} {now}"))
        today = Line(f"{self._said('録音済み', 'recorded')} {calls.recorded:,}")
        today.append(f"  {self._said('一部', 'partly')} {calls.partly:,}", style="yellow" if calls.partly else "")
        missing = self._said("録音なし", "not recorded")
        today.append(f"  {missing} {calls.not_recorded:,}", style=_BAD if calls.not_recorded else "")
        yield from self._row(self._said("本日", "today"), today)
        whole, own = _percent(calls.completeness), _percent(calls.capture_completeness)
        yield from self._row(
            self._said("完全性", "completeness"), Line(f"{whole}  ({self._said('装置のみ', 'recorder alone')} {own})")
        )
        yield from self._row(self._said("ディスク", "disk"), self._disk(seen))
        if agent.clock_synchronised is False:
            alone = self._said("時刻サーバーに同期していません", "not synchronised with a time server")
            yield from self._row(self._said("時計", "clock"), Line(alone, style="yellow"))
        yield from self._verdict(seen)

    def _disk(self, seen: BoxSeen) -> Line:
        assert seen.agent is not None
        disk = seen.agent.disk
        if disk.free_bytes is None or not disk.total_bytes:
            return Line(self._said("ディスクがありません", "is not there"), style=_BAD)
        percent = 100 * disk.free_bytes / disk.total_bytes
        room = f"{disk.free_bytes / _GIB:,.1f} / {disk.total_bytes / _GIB:,.1f} GiB ({percent:.0f} %)"
        line = Line(f"{self._said('空き', 'free')} {room}", style=_BAD if percent < _FEW_PERCENT else "")
        if disk.days_until_full is not None:
            line.append(f"  {self._said('満杯まで', 'full in')} {disk.days_until_full:,} {self._said('日', 'days')}")
        if disk.health in ("warning", "failing"):
            line.append(f"  {disk.health}", style=_BAD)
        return line

    def _verdict(self, seen: BoxSeen) -> Iterator[Line]:
        label = self._said("判定", "verdict")
        verdict = None if seen.agent is None else seen.agent.verdict
        if verdict is None:
            yield from self._row(label, Line(self._said("まだ判定できません", "nothing is known yet"), style=_DIM))
            return
        if not verdict.findings:
            doubtful = bool(verdict.withheld)
            said = (
                self._said("確認中の項目があります", "something is in doubt")
                if doubtful
                else self._said("異常なし", "no fault")
            )
            yield from self._row(label, Line(said, style="yellow" if doubtful else _GOOD))
            return
        worst = verdict.findings[0]
        told = [
            Line(f"{texts.domains(worst.domains, one)}: {texts.title(worst.row, one)}", style=_BAD)
            for one in self._languages
        ]
        yield from self._row(label, *told)
        for action in self._each(texts.ROWS[worst.row].action):
            yield from self._wrapped(action, "-> ")

    def alarms(self, seen: BoxSeen, room: int) -> Iterator[Line]:
        """As many as there is room for, with number and remedy."""
        standing = [alarm for alarm in seen.alarms if alarm.shelved is None]
        label = self._said("警報", "alarms")
        if not standing and is_silent(seen):
            yield from self._row(label, Line(_UNKNOWN.told(self._language), style=_DIM))
            return
        if not standing:
            yield from self._row(label, Line(self._said("なし", "none"), style=_GOOD))
            return
        yield from self._row(label, Line(f"{len(standing):,}", style=_BAD))
        left = room - 1
        for shown, alarm in enumerate(standing):
            lines = list(self._alarm(alarm, seen))
            last = shown == len(standing) - 1
            if len(lines) > left - (not last):
                yield self._cut(self._more(standing[shown:]))
                return
            left -= len(lines)
            yield from lines

    def _more(self, alarms: Sequence[Alarm]) -> Line:
        """Those for which there is no room, by their numbers."""
        count, numbers = len(alarms), ", ".join(str(catalogue()[alarm.key.name].number) for alarm in alarms)
        return Line(
            f"{_INDENT}{self._said(f'ほか {count} 件', f'{count} more')} (rokubox alarms): {numbers}", style=_BAD
        )

    def _alarm(self, alarm: Alarm, seen: BoxSeen) -> Iterator[Line]:
        kind = catalogue()[alarm.key.name]
        since = f"{local_time(alarm.first_raised_ns, seen.zone):%m-%d %H:%M}"
        test = "TEST " if alarm.test else ""
        head = f"{_INDENT}{kind.number} {since} {test}"
        for at, title in enumerate(self._each(Text(kind.title.ja, kind.title.en))):
            told = printable(f"{head}{title}: {alarm.key.resource}" if at == 0 else f"{' ' * cell_len(head)}{title}")
            yield self._cut(Line(told, style=STYLES[alarm.severity]))
        for told in self._each(Text(kind.remedy.ja, kind.remedy.en)):
            yield from self._wrapped(told, "-> ")

    def medium(self, told: Told, seen: BoxSeen) -> Iterator[Line]:
        """What came of a medium with a configuration."""
        good = told.outcome in (Outcome.ACCEPTED, Outcome.SAME)
        if good and seen.at_ns - told.at_ns > _SETTLED_NS:
            return
        at = f"{local_time(told.at_ns, seen.zone):%H:%M}"
        titles = [Line(f"{at} {title}", style=_GOOD if good else _BAD) for title in self._each(TITLES[told.outcome])]
        yield from self._row(self._said("設定媒体", "medium"), *titles)
        for action in self._each(ACTIONS[told.outcome]):
            yield from self._wrapped(action, "-> ")
        for problem in told.problems:
            yield from self._wrapped(problem, "* ")

    def update(self, status: UpdateStatus | None, seen: BoxSeen) -> Iterator[Line]:
        """What goes on with an update, or came of the last one."""
        settled = status is not None and status.state is State.GOOD and seen.at_ns - status.changed_ns > _SETTLED_NS
        if status is None or settled:
            return
        told = Text(*mediumanswer.STATES[status.state])
        style = _BAD if status.state in AMISS else _GOOD if status.state is State.GOOD else "yellow"
        titles = [Line(f"{status.version} {title.rstrip('。')}".strip(), style=style) for title in self._each(told)]
        yield from self._row(self._said("更新", "update"), *titles)
        if status.reason is not None:
            why = Text(mediumanswer.REASONS[status.reason], f"{status.reason}: {status.detail}".rstrip(": "))
            for reason in self._each(why):
                yield from self._wrapped(reason, "* ")

    def ignored(self, seen: BoxSeen) -> Iterator[Line]:
        """A medium that nobody reads."""
        if seen.ignored:
            told = Text("USB メモリーを無視しました", "a USB medium was ignored")
            yield from self._row(
                self._said("設定媒体", "medium"), *(Line(title, style=_BAD) for title in self._each(told))
            )
            for action in self._each(
                Text("ボリュームラベルを ROKUBOX にして差し直してください", "Label it ROKUBOX and plug it in again.")
            ):
                yield from self._wrapped(action, "-> ")

    def _each(self, text: Text) -> Sequence[str]:
        """A sentence, or one in each language: they are too long to stand side by side."""
        return tuple(text.told(one) for one in self._languages)

    def _row(self, label: str, *lines: Line) -> Iterator[Line]:
        """A label and what stands beside it, in as many lines as that takes."""
        folded = [piece for line in lines for piece in line.divide(_breaks(line.plain, self._width - self._column))]
        for at, piece in enumerate(folded):
            name = label if at == 0 else ""
            gap = " " * max(1, self._column - cell_len(name))
            yield self._cut(Line.assemble((f"{name}{gap}", _DIM), piece))

    def _wrapped(self, text: str, mark: str) -> Iterator[Line]:
        indent = _INDENT * 3
        line = Line(printable(text))
        for at, piece in enumerate(line.divide(_breaks(line.plain, self._width - len(indent) - len(mark)))):
            yield self._cut(Line.assemble(f"{indent}{mark if at == 0 else ' ' * len(mark)}", piece))

    def _cut(self, line: Line) -> Line:
        line.truncate(self._width)
        return line


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"


def _breaks(text: str, width: int) -> list[int]:
    """Where to break a text into lines of so many cells: at spaces, and anywhere in Japanese, which has none."""
    breaks, at, begin = [], 0, 0
    for word in _words(text):
        if at > begin and cell_len(text[begin:at]) + cell_len(word.rstrip()) > width:
            breaks.append(at)
            begin = at
        at += len(word)
        while cell_len(text[begin:at].rstrip()) > width:
            cut = at
            while cell_len(text[begin:cut]) > width:
                cut -= 1
            breaks.append(cut)
            begin = cut
    return breaks


def _words(text: str) -> Iterator[str]:
    """What is not broken: a word with the space behind it, a single character of a script without spaces."""
    word = ""
    for character in text:
        if cell_len(character) > 1:
            if word:
                yield word
            yield character
            word = ""
        else:
            word += character
            if character == " ":
                yield word
                word = ""
    if word:
        yield word
