"""No trace of what was erased: in the index, and in one that is being made anew."""

from storage.archive import Archive
from storage.index import rebuild
from storage.index.writer import IndexWriter


def purge(archive: Archive, index: IndexWriter) -> bool:
    """Leave no trace. False: there may be some, and another try is to be made later.

    Raises DiskFullError or ArchiveError.
    """
    unused = rebuild.discard_abandoned(rebuild.path_of(archive))
    # An index that is being made anew may end up abandoned: then its turn comes again.
    return index.purge(completes=unused) and unused


def purge_beside(archive: Archive) -> bool:
    """The same beside the index's writer, which must not write to it meanwhile.

    Raises IndexDamagedError, DiskFullError or ArchiveError.
    """
    if not archive.index.exists():
        return True
    index = IndexWriter(archive.index)
    try:
        return purge(archive, index)
    finally:
        index.close()
