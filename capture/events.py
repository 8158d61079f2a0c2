"""What the journal's events are called and what they say: made by capture, read by assembly.

| kind            | when                                      | detail                                                |
|-----------------|-------------------------------------------|-------------------------------------------------------|
| `start`         | a capture begins or goes on               | `at_ns`, `continued` (1: its ring outlived a restart),|
|                 |                                           | `waiting` and `room`: ring blocks that are full, all; |
|                 |                                           | `bootline.Mark` and `since_ns`, `Discipline`          |
| `stop`          | a capture ends in good order              |                                                       |
| `end_of_input`  | a capture file is read to its end         |                                                       |
| `tick`          | twice a second: all before has been read  | both clocks and the line: `bootline.Mark`,            |
|                 |                                           | `discipline.Discipline`                               |
| `counters`      | each second while the disk writes, by port| `interface`, `at_ns`, increments: `Counted`           |
| `interface`     | a mirror port changes                     | `interface`, `name`, `at_ns`, `change`, `up` (1 or 0) |
| `clock_step`    | the real-time clock was set               | `step_ns`, `at_ns`, `since_ns`, `shift_ns`            |
| `torn_tail`     | a journal file ended within a block       | `file`, `offset`, `bytes`                             |
| `unsynced`      | the disk failed a sync, or has lost the   | `since_ns`, `until_ns`: capture times of what may be  |
|                 | journal's end: what was written may be    | missing before this event                             |
|                 | gone                                      |                                                       |
| `raw`           | a ring block did not parse, kept as it is | `interface`                                           |
| `configuration` | a capture begins, behind its `start`      | `digest` of the text in force; empty without a file   |
| `quarantine`    | assembly could not get past something     | `block` (its address) or `call` (its id)              |
| `storage`       | room for recordings ran out, or is back   | `full` (1 or 0), `free_bytes`                         |

`up` is whether the port hears: set up, with a carrier, and a ring on it. Every start tells it of every port. `change`
is `start`, `missed` (not heard since `at_ns`, before the start), `refused` (with `reason`), `deaf`, `opened`, or what
`linkstate` calls it.

`shift_ns` is how far real time is ahead of the line that all times are on: what is to be added to a time before it is
shown. It holds from `since_ns` on, or else from the event's own time; without any it is 0.

An event's own time is that up to which everything has been read; `at_ns` is when it happened, a moment later. No event
holds callers' numbers.
"""

from enum import StrEnum


class EventKind(StrEnum):
    """Kinds of events."""

    START = "start"
    STOP = "stop"
    END_OF_INPUT = "end_of_input"
    TICK = "tick"
    COUNTERS = "counters"
    INTERFACE = "interface"
    CLOCK_STEP = "clock_step"
    TORN_TAIL = "torn_tail"
    UNSYNCED = "unsynced"
    RAW = "raw"
    CONFIGURATION = "configuration"
    QUARANTINE = "quarantine"
    STORAGE = "storage"


class Counted(StrEnum):
    """Fields of `counters`: increments since the interface's reading before."""

    PACKETS = "packets"
    """Passed by the kernel's filter, dropped ones included."""
    DROPS = "drops"
    """Packets for which the ring had no room."""
    FREEZES = "freezes"
    """Times the ring stood still because it was full."""
    NIC_MISSED = "nic_missed"
    """Frames that the adapter had no room for."""
    RECEIVED = "received"
    """Frames received by the adapter, whatever becomes of them."""
    UNICAST = "unicast"
    """Frames to one station, of those of a port on which nothing passes the filter; only there."""
    GROUP = "group"
    """Likewise, frames to a group or to everybody."""
    SENT = "sent"
    """Frames sent: a mirror port never sends."""


ARP_UNANSWERED = "arp_unanswered"
"""Field of `counters`: addresses that somebody asks for by ARP again and again and nobody answers for; only then."""
LOST = (Counted.DROPS, Counted.NIC_MISSED)
"""What tells that the recorder itself missed packets."""
