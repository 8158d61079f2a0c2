"""On a box that was booted from a stick: its own disk is chosen, and the system of the stick written to it.

Asked on the screen and on the serial console at once; whoever answers first has the disk for himself.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from appliance.exitcodes import OK
from appliance.flashing import disk, image, terminal
from appliance.flashing.disk import Disk
from appliance.flashing.errors import DiskChoiceError, ImageError, ToolMissingError
from appliance.flashing.image import Image
from appliance.flashing.onto import put_onto

_COMMAND_LINE = Path("/proc/cmdline")
_ROOT, _OFFSET, _HASH = "rokubox.root", "rokubox.offset", "rokubox.hash"
"""What GRUB has told the kernel of the system that was started."""


def install() -> int:
    """Ask, write, and restart when the stick was pulled out. Raises FlashError."""
    started = dict(part.partition("=")[::2] for part in _COMMAND_LINE.read_text("ascii").split())
    if _ROOT not in started:
        raise DiskChoiceError("this is no rokubox that was started from a stick; say IMAGE and DISK")
    system = Path("/dev/disk/by-partuuid") / started[_ROOT]
    own = _disk_of(system)
    source = image.of_running_system(Path(own.path))
    terminal.say(
        f"\nrokubox: this box was started from the installation stick {own.name}.",
        "インストール用 USB メモリから起動しました。書き込み先のディスクを選んでください。",
    )
    target = _chosen(own, source)
    _check(system, started)
    put_onto(source, Path(target.path))
    terminal.ask("Pull out the stick, then press Enter", "USB メモリを抜いて Enter を押すと再起動します")
    subprocess.run(["systemctl", "reboot"], check=False)
    return OK


def _disk_of(partition: Path) -> Disk:
    name = (Path("/sys/class/block") / partition.resolve().name).resolve().parent.name
    for each in disk.disks():
        if each.path == f"/dev/{name}":
            return each
    raise DiskChoiceError(f"{partition}: the stick is not there any more")


def _chosen(own: Disk, source: Image) -> Disk:
    """Ask until a disk is chosen and its erasure confirmed."""
    while True:
        found = [each for each in disk.disks() if each.path != own.path]
        print(terminal.table(found, source.wanted_bytes) or terminal.both("  no disk found", "  ディスクがありません"))
        typed = terminal.ask("Number of the disk; Enter: look again", "ディスクの番号（Enter: 再表示）")
        if not typed.isdecimal() or not 1 <= int(typed) <= len(found):
            continue
        target = found[int(typed) - 1]
        if why := disk.refusal(target, source.wanted_bytes):
            print(f"{target.path}: {why}")
        elif terminal.is_confirmed(target, source):
            return target


def _check(system: Path, started: Mapping[str, str]) -> None:
    """The stick's system against its root hash: what is written is what was built."""
    hashes = f"--hash-offset={started[_OFFSET]}"
    terminal.say("checking the stick ...", "USB メモリを確認しています ...")
    try:
        subprocess.run(
            ["veritysetup", "verify", hashes, system, system, started[_HASH]], check=True, capture_output=True
        )
    except FileNotFoundError as error:
        raise ToolMissingError("veritysetup is not installed") from error
    except subprocess.CalledProcessError as error:
        raise ImageError("the stick is damaged; write it again, or take another one") from error
