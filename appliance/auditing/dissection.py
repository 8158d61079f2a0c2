"""Frames dissected by pyshark, as JSON: `python -m appliance.auditing.dissection CAPTURE FILTER COUNT`.

A program of its own, started by `dissector` and by nobody else: pyshark takes over the event loop, and raises from
destructors when tshark meets a damaged tail. Here it may. What was read is printed, and the process ends without them.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

MAX_FIELDS = 40
"""Lines kept of a frame."""
MAX_TEXT = 160
"""Characters kept of a line."""


def frames(capture: str, chosen: str, count: int, options: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the first frames that a display filter lets through: number, layers, fields of the innermost layer."""
    import pyshark  # takes a second, and none of the product's processes needs it

    packets = pyshark.FileCapture(capture, display_filter=chosen, keep_packets=False, custom_parameters=options)
    for packet, _ in zip(packets, range(count), strict=False):
        layers = [layer.layer_name for layer in packet.layers]
        fields = [str(field.showname or field) for field in packet.layers[-1]._get_all_fields_with_alternates()]
        yield {"number": int(packet.number), "layers": layers, "fields": [f[:MAX_TEXT] for f in fields[:MAX_FIELDS]]}


def main(arguments: list[str]) -> None:
    """Print the frames, and end at once: nothing of pyshark is to be taken down."""
    capture, chosen, count, *options = arguments
    found: list[dict[str, Any]] = []
    trouble = ""
    try:
        found.extend(frames(capture, chosen, int(count), options))
    except Exception as error:  # a damaged tail, or pyshark itself; what was read before it counts
        trouble = type(error).__name__
    sys.stdout.write(json.dumps({"frames": found, "trouble": trouble}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
