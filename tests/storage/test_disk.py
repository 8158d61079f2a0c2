import errno
import os
import subprocess
from pathlib import Path

import pytest

from storage.disk import FILE_MODE, Directories, Disk, Draft, publish_all, replace_file
from storage.errors import ArchiveError, ConflictError, DiskFullError
from storage.partfile import write_part
from storage.vocabulary import Form
from tests.storage.samples import files, linear, metadata, plan, sound


class FailingDisk(Disk):
    """A disk whose n-th call of one kind fails; it counts the calls."""

    def __init__(self, call: str, number: int, code: int) -> None:
        self.calls = 0
        self._call, self._number, self._code = call, number, code

    def _fail_if_due(self, call: str) -> None:
        if call == self._call:
            self.calls += 1
            if self.calls == self._number:
                raise OSError(self._code, os.strerror(self._code), "/a/path/with/0312345678")

    def create(self, path, mode=FILE_MODE):
        self._fail_if_due("create")
        return super().create(path, mode)

    def write(self, descriptor, data):
        self._fail_if_due("write")
        return super().write(descriptor, data[:1000])

    def write_at(self, descriptor, data, offset_bytes):
        self._fail_if_due("write_at")
        return super().write_at(descriptor, data[:7], offset_bytes)

    def fsync(self, descriptor):
        self._fail_if_due("fsync")
        super().fsync(descriptor)

    def link(self, draft, final):
        self._fail_if_due("link")
        super().link(draft, final)

    def rename(self, draft, final):
        self._fail_if_due("rename")
        super().rename(draft, final)

    def make_directory(self, path):
        self._fail_if_due("make_directory")
        super().make_directory(path)


CALLS = {Form.ZIP: ("create", "write", "write_at", "fsync", "link"), Form.WAV: ("create", "write", "fsync", "link")}


@pytest.mark.parametrize(("form", "call"), [(form, call) for form in CALLS for call in CALLS[form]])
@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, ArchiveError)]
)
def test_whichever_call_fails_nothing_of_the_part_is_left(folders, form, call, code, kind):
    counting = FailingDisk(call, 0, code)
    expected = write_part(counting, plan(folders, form), sound(linear(3000)), metadata)
    for name in files(folders):
        (folders / name).unlink()
    assert counting.calls >= 1
    for number in range(1, counting.calls + 1):
        with pytest.raises(kind, match=r"^cannot (write|publish) part 0123456789_p01: ") as raised:
            write_part(FailingDisk(call, number, code), plan(folders, form), sound(linear(3000)), metadata)
        assert "0312345678" not in str(raised.value)
        assert files(folders) == set()
    assert write_part(Disk(), plan(folders, form), sound(linear(3000)), metadata) == expected


def test_without_hard_links_the_draft_is_renamed(folders):
    written = write_part(FailingDisk("link", 1, errno.EPERM), plan(folders, Form.ZIP), sound(linear(10)), metadata)
    assert files(folders) == {f"day/{written.name}"}


def test_a_name_taken_in_the_last_moment_is_not_overwritten(tmp_path):
    class RacedDisk(Disk):
        def link(self, draft: Path, final: Path) -> None:
            final.write_bytes(b"foreign")
            super().link(draft, final)

    final = tmp_path / "part.zip"
    with Draft(RacedDisk(), tmp_path, final, "part 1") as draft:
        draft.write(b"ours")
        with pytest.raises(ConflictError):
            publish_all((draft,))
    assert final.read_bytes() == b"foreign"
    assert os.listdir(tmp_path) == ["part.zip"]


def test_modes_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        Directories(Disk()).make(tmp_path / "a" / "b")
        with Draft(Disk(), tmp_path, tmp_path / "a" / "b" / "f", "f") as draft:
            [unfinished] = tmp_path.glob(".f.tmp-*")
            assert unfinished.stat().st_mode & 0o7777 == 0o600
            publish_all((draft,))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "a" / "b" / "f").stat().st_mode & 0o7777 == 0o640


def test_the_group_bit_is_inherited(tmp_path):
    tmp_path.chmod(0o2750)
    Directories(Disk()).make(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o2750


def test_directories_are_synced_once_and_stay_noted_when_that_fails(tmp_path):
    failing = FailingDisk("fsync", 2, errno.EIO)
    directories = Directories(failing)
    directories.make(tmp_path / "a" / "b")
    directories.make(tmp_path / "a" / "b")
    for _ in range(3):
        directories.note(tmp_path / "a" / "b")
    with pytest.raises(ArchiveError, match="cannot bring a directory"):
        directories.sync()
    assert (directories.sync(), failing.calls) == (2, 4)
    assert directories.sync() == 0


def test_a_directory_that_cannot_be_made(tmp_path):
    with pytest.raises(DiskFullError, match="cannot make the directory"):
        Directories(FailingDisk("make_directory", 1, errno.ENOSPC)).make(tmp_path / "a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArchiveError, match="cannot make the directory"):
        Directories(Disk()).make(tmp_path / "file" / "a")


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0750", "tmpfs", tmp_path]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("form", list(CALLS))
def test_a_disk_that_is_really_full(small_disk, form):
    (small_disk / "day").mkdir()
    (small_disk / "spool").mkdir()
    with pytest.raises(DiskFullError, match="No space left on device"):
        write_part(Disk(), plan(small_disk, form), sound(linear(100_000)), metadata)
    assert files(small_disk) == set()
    assert write_part(Disk(), plan(small_disk, form), sound(linear(10_000)), metadata).created


@pytest.mark.skipif(os.geteuid() != 0, reason="groups of folders are set by root")
def test_a_file_has_the_group_of_the_folder_it_is_for(tmp_path: Path) -> None:
    group = 4242
    for name, mode in (("shared", 0o2750), ("own", 0o750)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, -1, group)
        (tmp_path / name).chmod(mode)
        with Draft(Disk(), tmp_path, tmp_path / name / "draft", "a file") as draft:
            draft.write(b"x")
            publish_all((draft,))
        replace_file(Disk(), tmp_path / ".hidden", tmp_path / name / "replaced", b"x")
    found = {path.name + path.parent.name: path.stat().st_gid for path in tmp_path.glob("*/*")}
    own = os.getegid()
    assert found == {"draftshared": group, "replacedshared": group, "draftown": own, "replacedown": own}
