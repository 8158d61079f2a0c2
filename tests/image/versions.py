"""Other versions of a built image, for updates: the tree is taken as it is but for a few files, and packed again.

Files are links to those of the build; what is changed is written anew.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_PRODUCT = "usr/lib/rokubox/lib/python3.11/site-packages/appliance"

Change = Callable[[Path], None]
"""Changes a tree."""


def bundle(built: Path, folder: Path, keys: Path, version: str, change: Change = lambda _tree: None) -> Path:
    """A signed bundle of another version; its files are in `folder` afterwards."""
    (folder / "input").mkdir(parents=True)
    subprocess.run(["cp", "-al", built / "tree", folder / "tree"], check=True)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy2(built / "input" / name, folder / "input")
    module = folder / "tree" / _PRODUCT / "version.py"
    rewrite(module, lambda text: text.replace(_version(text), version))
    compiling = ("/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    subprocess.run(["chroot", str(folder / "tree"), *compiling, f"/{_PRODUCT}/version.py"], check=True)
    change(folder / "tree")
    subprocess.run([REPOSITORY / "image/pack", folder.absolute()], check=True, stdout=subprocess.DEVNULL)
    (folder / "rokubox.img").unlink()
    shutil.rmtree(folder / "tree")
    return signed(folder, keys, version)


def signed(built: Path, keys: Path, version: str) -> Path:
    """A bundle of what was packed."""
    signature = (keys / "signing.key", keys / "signing.pem", keys / "keyring.pem")
    command = [str(REPOSITORY / "image/bundle"), *(str(path.absolute()) for path in (built, *signature)), version]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return built / f"rokubox-{version}.raucb"


def other_keys(folder: Path) -> Path:
    """Keys that no image trusts."""
    subprocess.run([REPOSITORY / "image/keys", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def rewrite(file: Path, change: Callable[[str], str]) -> None:
    """Write a file anew: what else it is a name of stays as it is."""
    before, mode = file.read_text(), file.stat().st_mode
    after = change(before)
    assert after != before, file
    file.unlink()
    file.write_text(after)
    file.chmod(mode)


def damaged(bundle: Path, target: Path) -> Path:
    """A copy of a bundle of which one byte in the middle is another one."""
    shutil.copyfile(bundle, target)
    with target.open("r+b") as file:
        file.seek(bundle.stat().st_size // 2)
        [byte] = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    return target


def _version(text: str) -> str:
    return text.split('VERSION = "')[1].split('"')[0]
