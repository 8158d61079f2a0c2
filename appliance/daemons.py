"""The commands of the daemons, such as `rokubox-capture`: how a process is run, before it loads anything.

Whoever was killed is to be back at once: the ring of a busy mirror port is full in seconds.
"""

import sys
from collections.abc import Sequence

from appliance import processmemory
from appliance.capturing import precedence

processmemory.before_numpy()


def capture(argv: Sequence[str] | None = None) -> int:
    """`rokubox-capture`: mirror ports into the journal."""
    precedence.take()
    from appliance import daemonarguments

    return daemonarguments.capture(argv)


def assemble(argv: Sequence[str] | None = None) -> int:
    """`rokubox-assemble`: the journal into recordings."""
    from appliance import daemonarguments

    return daemonarguments.assemble(argv)


def agent(argv: Sequence[str] | None = None) -> int:
    """`rokubox-agent`: watches the box and tells the NOC."""
    from appliance import daemonarguments

    return daemonarguments.agent(argv)


def upload(argv: Sequence[str] | None = None) -> int:
    """`rokubox-upload`: recordings to the customer's systems."""
    from appliance import daemonarguments

    return daemonarguments.upload(argv)


if __name__ == "__main__":
    role = {"capture": capture, "assemble": assemble, "upload": upload, "agent": agent}[sys.argv[1]]
    sys.exit(role(sys.argv[2:]))
