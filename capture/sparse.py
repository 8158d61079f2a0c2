"""Bytes that arrive in any order, with overlaps: what IP fragments and TCP segments have in common.

Positions are absolute integers. What arrived first wins: a later copy only fills what is still missing, so that
nothing already seen can be rewritten (the overlap attacks of RFC 1858 and RFC 5722). The state is plain lists, so
that it can be serialised.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

PIECE_COST_BYTES = 96
"""What keeping one piece costs beside its bytes; counted, or a flood of tiny pieces would outgrow every limit."""


@dataclass(slots=True, kw_only=True)
class SparseBytes:
    """Pieces of one byte string, never overlapping."""

    starts: list[int] = field(default_factory=list)
    """Position of each piece, ascending."""
    pieces: list[bytes] = field(default_factory=list)
    """The bytes of each piece, none of them empty."""
    held_bytes: int = 0
    """Sum of the pieces' lengths."""

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.starts)

    @property
    def cost_bytes(self) -> int:
        """Memory to count against a limit."""
        return self.held_bytes + PIECE_COST_BYTES * len(self.starts)

    @property
    def end(self) -> int:
        """Position after the last byte held; 0 when nothing is."""
        return self.starts[-1] + len(self.pieces[-1]) if self.starts else 0

    def insert(self, start: int, content: bytes) -> int:
        """Keep what of `content` is still missing; the number of bytes that were already there (overlap)."""
        end = start + len(content)
        index = max(bisect_right(self.starts, start) - 1, 0)
        position, overlap = start, 0
        while position < end:
            piece_start, piece_end = self._bounds(index, end)
            if piece_end <= position:
                index += 1
            elif piece_start <= position:
                overlap += min(piece_end, end) - position
                position = piece_end
                index += 1
            else:
                stop = min(piece_start, end)
                self._put(index, position, content[position - start : stop - start])
                position = stop
                index += 1
        return overlap

    def holds(self, start: int, content: bytes) -> bool:
        """Whether exactly this piece is held."""
        index = bisect_right(self.starts, start) - 1
        return index >= 0 and self.starts[index] == start and self.pieces[index] == content

    def agrees(self, start: int, content: bytes) -> bool:
        """Whether nothing that is held is another byte than `content` has there."""
        end, index = start + len(content), max(bisect_right(self.starts, start) - 1, 0)
        while index < len(self.starts) and self.starts[index] < end:
            at, piece = self.starts[index], self.pieces[index]
            low, high = max(at, start), min(at + len(piece), end)
            if piece[low - at : high - at] != content[low - start : high - start] and low < high:
                return False
            index += 1
        return True

    def take_from(self, position: int) -> list[bytes]:
        """Remove and return the pieces that follow `position` without a hole; what lies before it is dropped."""
        taken: list[bytes] = []
        count = 0
        for start, piece in zip(self.starts, self.pieces, strict=True):
            if start > position:
                break
            count += 1
            fresh = piece[position - start :]
            if fresh:
                taken.append(fresh)
                position += len(fresh)
        self._drop_first(count)
        return taken

    def _bounds(self, index: int, end: int) -> tuple[int, int]:
        """Start and end of a piece; past the last one, an empty piece at `end` that bounds the hole."""
        if index < len(self.starts):
            return self.starts[index], self.starts[index] + len(self.pieces[index])
        return end, end + 1

    def _put(self, index: int, start: int, piece: bytes) -> None:
        self.starts.insert(index, start)
        self.pieces.insert(index, piece)
        self.held_bytes += len(piece)

    def _drop_first(self, count: int) -> None:
        self.held_bytes -= sum(map(len, self.pieces[:count]))
        del self.starts[:count], self.pieces[:count]
