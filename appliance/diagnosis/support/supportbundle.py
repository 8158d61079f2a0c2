"""Gathers a support bundle: one ZIP with versions, configuration, verdict, counters, logs; no speech, no number."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from appliance.condition import observed
from appliance.config import Configuration
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.findings import Verdict
from appliance.diagnosis.report import redaction
from appliance.diagnosis.support import masking
from appliance.diagnosis.wire import wirefile
from appliance.presentation import verdicttable
from appliance.version import software
from storage.archive import Archive
from storage.disk import Disk, replace_file

MAX_FILE_BYTES = 4 << 20
LOG_LINES = 3000
RECORDS = 5000
"""Call records that are counted, the newest ones."""
_ASK_S = 20.0
_ALLOWED = ("journalctl", "ip", "ethtool", "df", "uname")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a bundle is made of."""

    configuration: Configuration
    archive: Archive
    evidence: Evidence
    verdict: Verdict
    report: str
    """The report for a repair request, HTML."""
    whole: bool
    """With names and the carrier's details."""


def write(material: Material, path: Path) -> None:
    """Write the bundle, complete or not at all. Raises OSError."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        digests = {}
        for name, told in _files(material):
            octets = told.encode()[:MAX_FILE_BYTES]
            bundle.writestr(name, octets)
            digests[name] = hashlib.sha256(octets).hexdigest()
        bundle.writestr("MANIFEST.json", json.dumps({"software": software(), "sha256": digests}, indent=2))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(Disk(), path.with_name(f".{path.name}.tmp-{os.getpid()}"), path, content.getvalue())


def _files(material: Material) -> Iterator[tuple[str, str]]:
    makers: dict[str, Callable[[], str]] = {
        "README.txt": lambda: README,
        "verdict.json": lambda: _json(verdicttable.document(material.verdict, material.evidence)),
        "report.html": lambda: material.report,
        "versions.json": lambda: _json(_versions()),
        "configuration.json": lambda: _json(_configuration(material)),
        "archive.json": lambda: _json(_archive(material.archive)),
        "mirror.json": lambda: _json(_mirror(material)),
        "condition.json": lambda: _json(_run_file(material.archive, "storage.json")),
        "network.json": lambda: _asked("ip", "-s", "-s", "-j", "address"),
        "routes.json": lambda: _asked("ip", "-j", "route"),
        "disk.txt": lambda: "".join(_asked("df", each, str(material.archive.root)) for each in ("-PTi", "-PTh")),
        "memory.txt": lambda: "".join(_read(Path("/proc") / each) for each in ("meminfo", "loadavg", "uptime")),
        "log.txt": _log,
    }
    for name, make in makers.items():
        try:
            yield name, make()
        except Exception as error:  # a bundle with something missing is better than none
            yield f"{name}.missing.txt", f"{type(error).__name__}\n"


README = """\
Support bundle of a rokubox. No speech and no caller's or line's number is in it: rows of digits in logs are masked.
Unless --whole was given, names and the carrier's addresses are masked too.
rokubox のサポート情報です。音声・電話番号は含みません。既定ではお客様名と通信事業者のアドレスも伏せています。
"""


def _json(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, indent=2, default=str) + "\n"


def _versions() -> dict[str, Any]:
    packages = {each.name: each.version for each in importlib.metadata.distributions()}
    return {
        "software": software(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }


def _configuration(material: Material) -> dict[str, Any]:
    text = material.configuration.text
    tree = {} if text is None else tomllib.loads(text.decode("utf-8-sig"))
    return {"digest": material.configuration.digest, "tree": masking.masked(tree, whole=material.whole)}


def _archive(archive: Archive) -> dict[str, Any]:
    """Counts only: files of the journal, outcomes and reasons of the newest calls, the ledger's checkpoint."""
    journal = sorted(archive.journal.glob("*"))
    days = sorted(archive.root.glob("calls/*/*/*"), reverse=True)
    records = [path for day in days[:7] for path in sorted(day.glob("*.json"), reverse=True)][:RECORDS]
    outcomes: Counter[str] = Counter()
    for path in records:
        tree = msgspec.json.decode(path.read_bytes())
        outcomes[": ".join(filter(None, (tree.get("outcome"), ", ".join(tree.get("reasons", ())))))] += 1
    return {
        "journal_files": len(journal),
        "journal_bytes": sum(path.stat().st_size for path in journal if path.is_file()),
        "newest_calls": len(records),
        "outcomes": dict(outcomes.most_common()),
        "checkpoint": _read(archive.recordings / "checkpoint.txt"),
    }


def _mirror(material: Material) -> Any:
    report = observed.read(material.archive.run, wirefile.NAME, wirefile.Report)
    if report is None:
        return None
    if not material.whole:
        report = replace(report, wire=redaction.redacted_wire(report.wire))
    return msgspec.to_builtins(report)


def _run_file(archive: Archive, name: str) -> Any:
    return msgspec.json.decode((archive.run / name).read_bytes()[:MAX_FILE_BYTES])


def _log() -> str:
    told = _asked("journalctl", "--no-pager", "-o", "short-iso", "-n", str(LOG_LINES), "-u", "rokubox*")
    return "\n".join(masking.line(each) for each in told.splitlines()) + "\n"


def _asked(*command: str) -> str:
    assert command[0] in _ALLOWED
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {type(error).__name__}\n"
    return done.stdout.decode(errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:MAX_FILE_BYTES]
    except OSError:
        return ""
