"""Which slot GRUB starts: its menu, run by GRUB's own interpreter (grub-emu) on the variables of `bootstate`.

What only a machine has (partitions, kernels, a console) is told instead of done.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.firmware import bootstate, grubenv

MENU = (Path(__file__).parents[2] / "image/grub.cfg").read_text()
FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}
ON_TRIAL = bootstate.with_primary(FRESH, "B")
PROVED = bootstate.with_state(ON_TRIAL, "B", good=True)
INSTEAD = {
    r"^(serial|terminal_input|terminal_output) .*$": "",
    r"^load_env$": "load_env --file (host){folder}/grubenv\nset root=hd0,gpt1",
    r"save_env (\w+)": r'echo "COUNTED \1=$\1"',
    r"probe --set=(\w+) --part-uuid": r"set \1=uuid; echo",
    r"^  source \(": "  echo (",
    r"^  linux (.*)$": r'  echo "STARTED $1 trial=$trial boot=$boot system=$system"',
    r"^  initrd .*$": "  sleep 1\n  exit",
}
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("grub-emu", "script")), reason="grub-emu is not installed"
)


def started(folder: Path, variables: dict[str, str]) -> tuple[str, str]:
    """The slot with all that is passed on of it, and what was counted; as GRUB tells it."""
    menu = MENU
    for pattern, instead in INSTEAD.items():
        menu, changes = re.subn(pattern, instead.replace("{folder}", str(folder)), menu, flags=re.MULTILINE)
        assert changes, pattern
    (folder / "grub.cfg").write_text(menu)
    (folder / "grubenv").write_bytes(grubenv.serialize(variables))
    subprocess.run(
        ["script", "--quiet", "--return", "--command", f"grub-emu -r host -d {folder}", folder / "told"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"TERM": "xterm", "PATH": "/usr/bin:/bin"},
        timeout=60,
        check=False,
    )
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", (folder / "told").read_text(errors="replace")).replace("\r", "")
    found = re.search(r"STARTED (.*)", told)
    assert found is not None, told
    counted = re.search(r"COUNTED (\S+)", told)
    return found[1].strip(), counted[1] if counted else ""


A = "A trial= boot=hd0,gpt2 system=hd0,gpt3"
B = "B trial= boot=hd0,gpt4 system=hd0,gpt5"
B_ON_TRIAL = B.replace("trial=", "trial=rokubox.trial")


@pytest.mark.parametrize(
    ("variables", "slot", "counted"),
    [
        (FRESH, A, "A_TRY=1"),
        (ON_TRIAL, B_ON_TRIAL, "B_TRY=1"),
        ({**ON_TRIAL, "B_TRY": "2"}, B_ON_TRIAL, "B_TRY=3"),
        ({**ON_TRIAL, "B_TRY": "3"}, A, "A_TRY=1"),
        (PROVED, B, "B_TRY=1"),
        ({**PROVED, "B_TRY": "8"}, B, "B_TRY=9"),
        ({**PROVED, "B_TRY": "9"}, A, "A_TRY=1"),
        ({**PROVED, "B_TRY": "9", "A_TRY": "9"}, B, ""),
        ({**FRESH, "A_TRY": "9"}, A, ""),
        ({}, A, ""),
    ],
)
def test_the_slot_that_is_started(tmp_path: Path, variables: dict[str, str], slot: str, counted: str) -> None:
    assert started(tmp_path, variables) == (slot, counted)
    assert bootstate.primary(variables) == slot[0]
