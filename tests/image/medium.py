"""A stick labelled ROKUBOX, as a technician brings it (appliance/provisioning/medium.py)."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from appliance.provisioning.medium import CONFIGURATION, KEYS, RESULT

_SIZE_KIB = 16 << 10


def stick(folder: Path, configuration: str, keys: Mapping[str, bytes]) -> Path:
    """A FAT file system with this configuration and these keys; returns its image."""
    image, content = folder / "stick.img", folder / "stick"
    (content / KEYS).mkdir(parents=True)
    (content / CONFIGURATION).write_text(configuration)
    for name, key in keys.items():
        (content / KEYS / name).write_bytes(key)
    subprocess.run(["mkfs.vfat", "-n", "ROKUBOX", "-C", image, str(_SIZE_KIB)], check=True, capture_output=True)
    subprocess.run(["mcopy", "-s", "-i", image, content / CONFIGURATION, content / KEYS, "::"], check=True)
    return image


def with_file(image: Path, file: Path) -> Path:
    """A FAT file system with this file and nothing else."""
    size_kib = (file.stat().st_size >> 10) + _SIZE_KIB
    subprocess.run(["mkfs.vfat", "-n", "ROKUBOX", "-C", image, str(size_kib)], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", image, file, "::"], check=True)
    return image


def answer(image: Path, name: str = RESULT) -> str:
    """What the box has written onto it; empty when nothing."""
    read = subprocess.run(["mtype", "-i", image, f"::{name}"], check=False, capture_output=True)
    return read.stdout.decode() if read.returncode == 0 else ""
