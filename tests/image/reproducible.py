"""`make test-image-reproducible`: the image built twice, in two folders, from a Debian fetched twice; equal bit by bit.

Where it is not, the partitions are named that differ, and the files they are made of.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.image.machine import partitions

REPOSITORY = Path(__file__).parents[2]
KEYS = "keys"
"""Folder beside the builds: both images trust the same."""
_PIECE_BYTES = 1 << 22
_MOST_SHOWN = 50


def main() -> int:
    """1 if the two differ."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    work = REPOSITORY / "build" / "reproducible"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    subprocess.run([REPOSITORY / "image/keys", work / KEYS], check=True, stdout=subprocess.DEVNULL)
    # Names of two lengths, so that a name in a file moves what comes after it.
    folders = [work / name for name in ("one", "the-other")]
    for folder in folders:
        _copy_sources(folder)
    git = ["git", "log", "-1", "--format=%ct"]
    epoch_s = subprocess.run(git, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()
    built = [_build(folder, epoch_s) for folder in folders]
    first, second = (folder / "rokubox.img" for folder in built)
    differing = list(differences(first, second))
    if not differing and filecmp.cmp(first, second, shallow=False):
        print(f"two builds, {first.stat().st_size} bytes each, are equal bit by bit")
        return 0
    for name in differing or ["the partition table"]:
        print(f"differs: {name}")
    for line in islice(differing_files(*built), _MOST_SHOWN):
        print(f"  {line}")
    return 1


def _copy_sources(folder: Path) -> None:
    told = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    for name in filter(None, told.stdout.decode().split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _build(folder: Path, epoch_s: str) -> Path:
    """Build with nothing that an earlier build has left; returns the output."""
    began, output, log = time.monotonic(), folder / "output", folder / "build.log"
    output.mkdir()
    with log.open("wb") as told:
        done = subprocess.run(
            ["image/build", output, folder.parent / KEYS / "keyring.pem"],
            cwd=folder,
            check=False,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch_s},
            stdout=told,
            stderr=told,
        )
    if done.returncode != 0:
        raise SystemExit(f"no image was built:\n{log.read_text('utf-8', 'replace')[-4000:]}")
    print(f"built in {folder.relative_to(REPOSITORY)}, {time.monotonic() - began:.0f} s", flush=True)
    return output


def differences(first: Path, second: Path) -> Iterator[str]:
    """Names of the partitions that differ, with the place of the first byte that does."""
    with first.open("rb") as one, second.open("rb") as other:
        for part, same in zip(partitions(first), partitions(second), strict=True):
            if part != same:
                yield f"{part.name}: where it lies"
                continue
            one.seek(part.at)
            other.seek(part.at)
            for at in range(0, part.length, _PIECE_BYTES):
                here, there = (disk.read(min(_PIECE_BYTES, part.length - at)) for disk in (one, other))
                if here != there:
                    place = at + next(i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)
                    yield f"{part.name}, from byte {place} on"
                    break


def differing_files(first: Path, second: Path) -> Iterator[str]:
    """Files of two builds' slots that differ, and of their initial file systems."""
    for part in ("input", "tree"):
        yield from _differing(first / part, second / part, part)
    yield from _differing(_unpacked(first), _unpacked(second), "initrd")


def _unpacked(output: Path) -> Path:
    """The initial file system of a build, by the tools of the system in it."""
    tree = output / "tree"
    shutil.copy(output / "input" / "initrd.img", tree / "tmp")
    subprocess.run(["chroot", tree, "unmkinitramfs", "/tmp/initrd.img", "/tmp/initrd"], check=True)
    return tree / "tmp" / "initrd"


def _differing(first: Path, second: Path, name: str) -> Iterator[str]:
    """Paths that differ in what they are, in content, owner, rights or time."""
    paths = {path.relative_to(root) for root in (first, second) for path in root.rglob("*")}
    for path in sorted(paths):
        here, there = _what(first / path), _what(second / path)
        if here != there:
            yield f"{name}/{path}: {here} {there}"
        elif here[0] == "file" and not filecmp.cmp(first / path, second / path, shallow=False):
            yield f"{name}/{path}: content"


def _what(path: Path) -> tuple[str, ...]:
    if path.is_symlink():
        return ("link", str(path.readlink()))
    if not path.exists():
        return ("missing",)
    status = path.stat()
    kind = "file" if path.is_file() else "folder" if path.is_dir() else "other"
    size = str(status.st_size) if kind == "file" else ""
    return (kind, oct(status.st_mode), f"{status.st_uid}:{status.st_gid}", size, str(int(status.st_mtime)))


if __name__ == "__main__":
    sys.exit(main())
