"""Debian packages of a system, from dpkg's own account, and their licences from the copyright files beside it."""

import re
import subprocess
from pathlib import Path

from appliance.bom.component import Component
from appliance.errors import ToolMissingError

_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
_INSTALLED = "ii"
_COPYRIGHTS = Path("/usr/share/doc")
_MACHINE_READABLE = re.compile(r"\AFormat:\s*https?://www\.debian\.org/doc/packaging-manuals/copyright-format/")
_LICENCE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)


def installed() -> list[Component]:
    """Every package that is installed on this system.

    Raises:
        ToolMissingError: this is no Debian.
    """
    command = ["dpkg-query", "--show", "--showformat", _FORMAT]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissingError("dpkg-query does not tell what is installed; a list is made on Debian") from error
    return parse(told, _COPYRIGHTS)


def parse(told: str, copyrights: Path) -> list[Component]:
    """Read dpkg-query's answer; `copyrights` holds a folder with a copyright file for each package."""
    found = []
    for line in told.splitlines():
        status, name, version, architecture, source = line.split("\t")
        if status.strip() == _INSTALLED:
            found.append(
                Component(
                    ecosystem="deb",
                    name=name,
                    version=version,
                    licences=licences(copyrights / name / "copyright"),
                    source=source if source != name else "",
                    architecture=architecture,
                )
            )
    return found


def licences(file: Path) -> tuple[str, ...]:
    """What a copyright file in machine-readable form (DEP 5) names; nothing of one in any other form."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return ()
    if not _MACHINE_READABLE.match(text):
        return ()
    return tuple(sorted({name.strip() for name in _LICENCE.findall(text)}))
