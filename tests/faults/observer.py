"""The diagnosis at work within the site's recorder: `python -m tests.faults.observer CONFIG ARCHIVE CLOCK`, a JSON line
a second.

The machine's clock is everybody's: it is not stepped. What the observer reads of it is, by as many nanoseconds as the
file CLOCK says, and it is taken for disciplined unless the file says `lost`.
"""

import json
import sys
import time
from pathlib import Path

from appliance import clocks, config
from appliance.diagnosis.observing import Watch
from appliance.diagnosis.probes.timekeeping import ClockWatch
from appliance.diagnosis.verdict import verdict
from capture.bootline import ClockReading
from capture.discipline import Discipline
from storage.archive import Archive


def main() -> None:
    configuration, archive, clock = config.read(Path(sys.argv[1])), Archive(Path(sys.argv[2])), Path(sys.argv[3])

    def read() -> ClockReading:
        reading, told = clocks.read(), clock.read_text().strip()
        return reading._replace(real_ns=reading.real_ns + (int(told) if told.isdecimal() else 0))

    def discipline() -> Discipline:
        return Discipline(synchronised=clock.read_text().strip() != "lost", offset_ms=0)

    watch = Watch(configuration, archive, clock=ClockWatch(read, discipline))
    while True:
        evidence = watch.observe(wait_s=0.3)
        found = verdict(evidence)
        line = {
            "at": time.time(),
            "findings": [[each.row, [str(domain) for domain in each.domains]] for each in found.findings],
            "withheld": [[each.finding.row, [str(step) for step in each.steps]] for each in found.withheld],
            "ng": [rung.step for rung in found.ladder if rung.state in ("ng", "unknown")],
        }
        print(json.dumps(line), flush=True)
        time.sleep(0.7)


if __name__ == "__main__":
    main()
