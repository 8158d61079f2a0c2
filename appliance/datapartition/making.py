"""The data partition made, as a stick asks for it.

It is made whole, with all the room of the disk, and only then named in the partition table: a power cut before that
leaves one that is yet to be made, and the recovery key on the stick is overwritten by that of the next try.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.datapartition import luks, medium, table, tablefile, texts
from appliance.datapartition.consoles import Consoles
from appliance.datapartition.encryption import Encryption
from appliance.datapartition.errors import MediumError
from appliance.datapartition.medium import Medium
from appliance.datapartition.table import State
from appliance.datapartition.tablefile import Disk

_LOOK_AGAIN_S = 2.0
_LONG_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How it is to be made."""

    encryption: Encryption = Encryption.NONE
    recovery_key: str = ""
    """It is on the stick already."""
    passphrase: str | None = None
    """None: it is to be asked for, where there is to be one."""


def make(device: Path, consoles: Consoles, serial: str) -> Path:
    """Makes it, and returns the device with the file system. Raises DataPartitionError, OSError, CalledProcessError."""
    order = Order() if tablefile.is_on_stick(device) else ordered(consoles, serial)
    passphrase = order.passphrase
    if order.encryption is Encryption.PASSPHRASE and passphrase is None:
        passphrase = _chosen(consoles)
    consoles.say(texts.MAKING.format(encryption=order.encryption))

    path, number = tablefile.device_of(device)
    disk = Disk(path)
    new = table.named(table.grown(disk.read(), number, disk.sectors), number, State.MADE)
    # The kernel is told now, the disk at the end.
    resize = ["resizepart", str(path), str(number), str(table.sectors_of(new, number))]
    subprocess.run(resize, check=True, capture_output=True)
    subprocess.run(["wipefs", "-aq", str(device)], check=True, capture_output=True)
    place = device
    if order.encryption is not Encryption.NONE:
        luks.make(device, order.recovery_key)
        if passphrase is not None:
            luks.add_passphrase(device, order.recovery_key, passphrase)
        else:
            luks.add_tpm(device, order.recovery_key)
        luks.open_by(device, order.recovery_key)
        place = luks.MAPPED
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "data", str(place)], check=True, capture_output=True)
    for written in (place, device):
        _sync(written)
    disk.write(new)
    if order.encryption is not Encryption.NONE:
        _answer(texts.MADE.format(time=now(), serial=serial, encryption=order.encryption))
    return place


def ordered(consoles: Consoles, serial: str) -> Order:
    """What the stick asks for. While that cannot be done, this waits for it to be put right or pulled out.

    What was to be encrypted is never left open because of a slip of the pen.
    """
    told = ""
    while True:
        with medium.plugged_in() as stick:
            if stick is None:
                return Order()
            try:
                return order_of(stick, serial)
            except (MediumError, OSError) as error:
                if str(error) != told:
                    consoles.say(texts.ORDER_REFUSED.format(problem=error))
                    told = str(error)
                    answer_on(stick, medium.RESULT, texts.REFUSED.format(time=now(), serial=serial, problem=error))
        time.sleep(_LOOK_AGAIN_S)


def order_of(stick: Medium, serial: str) -> Order:
    """Raises MediumError, OSError when the recovery key cannot be written."""
    encryption = stick.encryption()
    if encryption is Encryption.NONE:
        return Order()
    if encryption is Encryption.TPM2 and not luks.has_tpm():
        raise MediumError(
            f'{medium.CONFIGURATION}: storage.encryption = "tpm2", and this machine has no TPM 2 (see its setup)'
        )
    if not stick.is_writable:
        raise MediumError("it cannot be written to, and the recovery key has to be written there")
    passphrase = stick.passphrase() if encryption is Encryption.PASSPHRASE else None
    key = luks.new_recovery_key()
    name = medium.RECOVERY_KEY.format(serial=serial)
    stick.write(name, texts.KEY_FILE.format(key=key, serial=serial, time=now()))
    return Order(encryption=encryption, recovery_key=key, passphrase=passphrase)


def answer_on(stick: Medium, name: str, text: str) -> None:
    """Said on the stick if it takes it; it was said on the console."""
    if stick.is_writable:
        try:
            stick.write(name, text)
        except OSError:
            return


def now() -> str:
    """The box's clock."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _answer(text: str) -> None:
    with medium.plugged_in() as stick:
        if stick is not None:
            answer_on(stick, medium.RESULT, text)


def _chosen(consoles: Consoles) -> str:
    """A passphrase, typed twice."""
    while True:
        consoles.say(texts.NEW_PASSPHRASE)
        first = consoles.line(_LONG_S, shown=False)
        if first is None:
            continue
        consoles.say(texts.AGAIN)
        second = consoles.line(_LONG_S, shown=False)
        try:
            if first == second:
                return medium.checked(first, "console")
        except MediumError:
            pass
        consoles.say(texts.NOT_ACCEPTED)


def _sync(device: Path) -> None:
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
