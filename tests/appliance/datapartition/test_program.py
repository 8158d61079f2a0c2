"""The program that the initial file system's script calls: one line that says what is wrong, never a traceback."""

import subprocess
import sys


def test_what_is_no_partition() -> None:
    order = [sys.executable, "-m", "appliance.datapartition", "--whole", "/dev/none6"]
    done = subprocess.run(order, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "rokubox: data partition: [Errno 2] No such file or directory: '/sys/class/block/none6/partition'"
    ]
    assert done.stdout == ""


def test_only_the_standard_library_is_needed() -> None:
    """It runs before the system does."""

    def loaded(program: str) -> set[str]:
        order = [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"]
        said = subprocess.run(order, check=True, capture_output=True, text=True).stdout
        return {name.partition(".")[0] for name in said.split()}

    more = loaded("import appliance.datapartition.__main__") - loaded("pass")
    assert more - sys.stdlib_module_names == {"appliance"}
