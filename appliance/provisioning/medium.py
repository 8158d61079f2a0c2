"""Configuration and keys on a medium: checked as a whole, put in place, and answered there.

    MEDIUM/rokubox.toml          the configuration
           keys/NAME             keys, certificates, passwords that it names as DIRECTORY/keys/NAME
           rokubox-result.txt    what came of it, for whoever pulls the medium out (`outcome`)

Nothing is changed unless everything is right. Keys come first and the configuration last, each complete or not at all:
a power cut leaves a box with the configuration that it had, and the medium is read again.
"""

import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import config
from appliance.boxsettings import readers, sshserver
from appliance.boxsettings.accounts import system_users
from appliance.config import Configuration
from appliance.datapartition.encryption import Encryption
from appliance.errors import ConfigurationError
from appliance.provisioning.outcome import Told, result_text
from storage.disk import FILE_MODE, Directories, Disk, replace_file
from storage.volume import mounts
from storage.volume.mounts import Mount

CONFIGURATION, KEYS, RESULT = "rokubox.toml", "keys", "rokubox-result.txt"
MAX_KEY_BYTES = 64 << 10
MAX_KEYS = 64
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_MOUNTS, _DATA, _MAPPED = Path("/proc/self/mountinfo"), "/data", "/dev/mapper/"
"""What is mounted; where the appliance has its data partition; what an encrypted one is mounted from."""
_NOT_OURS = frozenset({"Thumbs.db", "desktop.ini"})
"""What systems leave in folders by themselves, as macOS does files whose names begin with a dot."""
_FILE_KEY = "_file"
"""How the names of keys end whose values are files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What is on a medium, and right."""

    text: bytes
    """The configuration as it is in the file."""
    digest: str
    """Its SHA-256."""
    keys: Mapping[str, bytes]
    """Content by name."""


def read(medium: Path, directory: Path, archive: str) -> Brought:
    """Read and check everything; `directory` is where it will go, `archive` where recordings have to go.

    Raises:
        ConfigurationError: every problem, one a line.
    """
    problems: list[str] = []
    keys = _keys(medium / KEYS, problems)
    if not (medium / CONFIGURATION).exists():
        problems.insert(0, f"{CONFIGURATION}: is not on the medium; it has to lie in its top folder")
        raise ConfigurationError("\n".join(problems))
    try:
        configuration = config.read(medium / CONFIGURATION, box=directory)
    except ConfigurationError as error:
        problems[:0] = str(error).replace(f"{medium}/", "").splitlines()
        raise ConfigurationError("\n".join(problems)) from error
    if configuration.storage.archive != archive:
        problems.append(f"{CONFIGURATION}: storage.archive: has to be {archive!r}, the services write nowhere else")
    named = list(_files(configuration))
    for path, file in named:
        if file.parent == directory / KEYS and file.name in keys:
            problems += _content_problems(path, f"{KEYS}/{file.name}", keys[file.name])
        elif not file.exists():
            wanted = f"{KEYS}/{file.name} on the medium, named as {directory / KEYS / file.name}"
            problems.append(f"{CONFIGURATION}: {path}: {file} is not on this box; bring {wanted}")
    # As an unknown key is: who brings it expects something of it.
    unnamed = keys.keys() - {file.name for _, file in named if file.parent == directory / KEYS}
    problems += [
        f"{KEYS}/{name}: nothing in {CONFIGURATION} names {directory / KEYS / name}" for name in sorted(unnamed)
    ]
    problems += [f"{CONFIGURATION}: {found}" for found in readers.problems(configuration.share.user, system_users())]
    if is_left_open(configuration.storage.encryption, mounts.parse(_MOUNTS.read_text("utf-8", "replace"))):
        remedy = "a factory reset makes it anew (docs/first-boot.md)"
        problems.append(f"{CONFIGURATION}: storage.encryption: the data partition was made without; {remedy}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    assert configuration.text is not None
    return Brought(text=configuration.text, digest=hashlib.sha256(configuration.text).hexdigest(), keys=keys)


def is_left_open(wanted: Encryption, mounted: Iterable[Mount]) -> bool:
    """Whether encryption is asked for, and the appliance's data partition was made without."""
    data = next((mount for mount in mounted if mount.point == _DATA), None)
    return wanted is not Encryption.NONE and data is not None and not data.source.startswith(_MAPPED)


def put_in_place(brought: Brought, directory: Path) -> None:
    """Put everything into the directory. Raises OSError."""
    disk = Disk()
    directories = Directories(disk)
    directories.make(directory / KEYS)
    for name, content in brought.keys.items():
        _put(disk, directories, directory / KEYS / name, content)
    directories.sync()
    _put(disk, directories, directory / CONFIGURATION, brought.text)
    directories.sync()


def is_as_shipped(directory: Path, shipped: Path) -> bool:
    """Whether the box has no configuration but the one that it came with. Raises OSError."""
    try:
        return (directory / CONFIGURATION).read_bytes() == shipped.read_bytes()
    except FileNotFoundError:
        return True


def is_what_is_there(medium: Path, directory: Path) -> bool:
    """Whether the medium brings the configuration that the box has. Raises OSError."""
    with suppress(FileNotFoundError):
        return (medium / CONFIGURATION).read_bytes() == (directory / CONFIGURATION).read_bytes()
    return False


def answer(medium: Path, told: Told, keys: Iterable[str] = ()) -> bool:
    """Write what came of it onto the medium; False when that cannot be written, as on a CD."""
    with suppress(OSError):
        with (medium / RESULT).open("w", encoding="utf-8", newline="\r\n") as result:
            result.write(result_text(told, [f"{KEYS}/{name}" for name in sorted(keys)]))
            result.flush()
            os.fsync(result.fileno())
        return True
    return False


def _content_problems(path: str, name: str, content: bytes) -> list[str]:
    """What is wrong with a file that has to be of a kind."""
    if path == "ssh.authorized_keys_file":
        return [f"{name}: {problem}" for problem in sshserver.problems(content)]
    if path.startswith("share.user["):
        try:
            readers.password(content)
        except ValueError as error:
            return [f"{name}: {error}"]
    return []


def _put(disk: Disk, directories: Directories, path: Path, content: bytes) -> None:
    replace_file(disk, path.with_name(f".{path.name}.tmp-{os.getpid()}"), path, content, mode=FILE_MODE)
    directories.note(path.parent)


def _keys(folder: Path, problems: list[str]) -> dict[str, bytes]:
    """Content of the files by name; a file that is none of ours is a problem. No folder: no keys."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in _NOT_OURS)
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{KEYS}: {error.strerror}")
        return {}
    if len(names) > MAX_KEYS:
        problems.append(f"{KEYS}: {len(names)} files, {MAX_KEYS} at most")
        return {}
    found = {}
    for name in names:
        if not _NAME.fullmatch(name):
            problems.append(f"{KEYS}/{name!r}: letters, digits, '.', '_' and '-' make a name")
            continue
        try:
            found[name] = _read(folder / name)
        except (OSError, ValueError) as error:
            problems.append(f"{KEYS}/{name}: {error.strerror if isinstance(error, OSError) else error}")
    return found


def _read(path: Path) -> bytes:
    """Raises OSError, or ValueError when it is no file that a key can be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        content = file.read(MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        raise ValueError(f"larger than {MAX_KEY_BYTES} bytes")
    return content


def _files(configuration: Configuration) -> Iterator[tuple[str, Path]]:
    """Every file that the configuration itself names, with its key's path: none that is only a default."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Path]]:
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                if getattr(value, field.name) == field.default:
                    continue
                yield from walk(getattr(value, field.name), f"{path}.{field.name}".lstrip("."))
        elif isinstance(value, tuple):
            for at, each in enumerate(value):
                yield from walk(each, f"{path}[{at}]")
        elif isinstance(value, str) and value and path.endswith(_FILE_KEY):
            yield path, Path(value)

    return walk(configuration, "")
