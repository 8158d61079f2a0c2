"""The program `rokubox-flash`: arguments in, exit code out."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.exitcodes import OK, OUTPUT
from appliance.flashing import disk, image, installer, terminal
from appliance.flashing.errors import DiskChoiceError, FlashError
from appliance.flashing.onto import put_onto

DESCRIPTION = """\
Write the image of rokubox to a disk or a stick, read it back, and give the disk ids of its own.
rokubox のイメージをディスクまたは USB メモリに書き込み、読み戻して照合し、固有の ID を付けます。
"""
EPILOG = """\
Without DISK the disks are listed, and nothing is written. What is in use is refused; before anything is destroyed you
are asked. A disk can boot only once everything on it was read back as written: pulled out too early, it boots nothing.

examples:
  rokubox-flash                                             which disks there are
  sudo rokubox-flash rokubox.img.xz /dev/sdb                write a stick, or a disk
  sudo rokubox-flash rokubox.img.xz /dev/sdb --erase 4F2A   the same without being asked (the end of its serial)
  rokubox-flash --install                                   on a box booted from such a stick: onto its own disk

A box that is booted from a stick asks by itself: docs/install.html has every step.
exit codes: 0 ok, 2 usage or wrong disk, 3 image damaged, 4 disk broken or gone, 5 permission, 6 a tool is missing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="rokubox-flash",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("image", nargs="?", type=Path, metavar="IMAGE", help="rokubox.img.xz, or rokubox.img")
    parser.add_argument("disk", nargs="?", metavar="DISK", help="a whole disk (/dev/sdb), or a file as large as one")
    parser.add_argument("--erase", metavar="WORD", help="answer the question beforehand: what it wants to be typed")
    parser.add_argument("--install", action="store_true", help="from the disk that this box was booted from")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.install:
            return installer.install()
        if chosen.disk is None:
            print(terminal.table(disk.disks(), image.of_file(chosen.image).wanted_bytes if chosen.image else 0))
            return OK
        return _flash(chosen.image, chosen.disk, chosen.erase)
    except FlashError as error:
        print(f"rokubox-flash: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT
    except KeyboardInterrupt:
        print("\nrokubox-flash: stopped; a disk that was begun boots nothing", file=sys.stderr)
        return OUTPUT


def _flash(path: Path, target: str, word: str | None) -> int:
    chosen = image.of_file(path)
    found = _disk(target)
    if found is not None and (why := disk.refusal(found, chosen.wanted_bytes)):
        raise DiskChoiceError(f"{target}: {why}")
    if found is not None and word != found.secret_word and not (word is None and terminal.is_confirmed(found, chosen)):
        raise DiskChoiceError(f"{target}: nothing was written; {found.secret_word!r} was not typed")
    if not image.check_sum(path, terminal.Meter("image", "イメージ確認")):
        terminal.say(f"(no {image.SUMS} beside {path}: not compared)", f"({image.SUMS} がないため照合していません)")
    put_onto(chosen, Path(target))
    return OK


def _disk(target: str) -> disk.Disk | None:
    """The disk of that name; None for a file."""
    path = Path(target)
    if path.is_file():
        return None
    real = os.path.realpath(path)
    for each in disk.disks():
        if each.path == real:
            return each
    told = "a partition; name the whole disk" if path.is_block_device() else "no disk of this machine"
    raise DiskChoiceError(f"{target}: {told} (`rokubox-flash` lists them)")


if __name__ == "__main__":
    sys.exit(main())
