"""The Merkle tree of RFC 6962 section 2.1: hashes, roots, proofs and their verification. Pure.

Hashes of complete subtrees are stored once, in the order in which they become known: a leaf's, then those of the
subtrees that it completes, smallest first (Crosby and Wallach 2009, section 3.3; the layout of Go's sumdb/tlog).
`Read` gives one of them by its place in that order. A subtree is named by its level (0: leaves) and its number there.
"""

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""

Read = Callable[[int], bytes]
"""A stored hash by its place."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf with this data."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the tree with these two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def stored_place(level: int, number: int) -> int:
    """Where the hash of a complete subtree is stored, in hashes."""
    # It comes `level` places after that of its last leaf; before a leaf lie all subtrees of the leaves before it.
    last_leaf = ((number + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def stored_count(size: int) -> int:
    """How many hashes are stored for a tree of `size` leaves."""
    return 2 * size - size.bit_count()


class Frontier:
    """The complete subtrees that a growing tree consists of: all that is needed to add leaves and to give the root."""

    def __init__(self, size: int = 0, read: Read | None = None) -> None:
        """A tree of `size` leaves; `read` gives its stored hashes and may be left out for an empty one."""
        self.size = size
        """Leaves."""
        places = _subtree_places(0, size)
        assert read is not None or not places
        self._subtrees = [read(place) for place in places] if read is not None else []

    def append(self, leaf: bytes) -> list[bytes]:
        """Add the leaf with this hash and return the hashes to store for it."""
        stored = [leaf]
        for _ in range(_trailing_ones(self.size)):
            stored.append(node_hash(self._subtrees.pop(), stored[-1]))
        self._subtrees.append(stored[-1])
        self.size += 1
        return stored

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        return _joined(self._subtrees) if self._subtrees else EMPTY_ROOT


def root(size: int, read: Read) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return Frontier(size, read).root()


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, from its sibling up (section 2.1.1)."""
    assert 0 <= index < size
    low, high = 0, size
    path: list[bytes] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, read))
            high = middle
        else:
            path.append(_subtree(low, middle, read))
            low = middle
    return path[::-1]


def consistency_proof(old: int, size: int, read: Read) -> list[bytes]:
    """The proof that the tree of `size` leaves begins with the tree of `old` leaves (section 2.1.2)."""
    assert 0 <= old <= size
    if old in (0, size):
        return []
    low, high = 0, size
    path: list[bytes] = []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_subtree(middle, high, read))
            high = middle
        else:
            path.append(_subtree(low, middle, read))
            low = middle
    if low:
        path.append(_subtree(low, high, read))
    return path[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that follows from a leaf's hash and its audit path; None when the path has the wrong form."""
    if not 0 <= index < size or not _are_hashes(leaf, *proof):
        return None
    number, last, reached = index, size - 1, leaf
    for sibling in proof:
        if not last:
            return None
        # The last subtree of a level, when it is a left one, has no sibling and goes up as it is.
        while number == last and not number & 1:
            number, last = number >> 1, last >> 1
        reached = node_hash(sibling, reached) if number & 1 else node_hash(reached, sibling)
        number, last = number >> 1, last >> 1
    return None if last else reached


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], tree_root: bytes) -> bool:
    """Whether `proof` shows that the tree with `tree_root` has at `index` the leaf with hash `leaf`."""
    return root_from_inclusion(index, size, leaf, proof) == tree_root


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree with `new_root` begins with the one with `old_root`."""
    if not 0 <= old <= size or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == size:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    # Where the old tree is a complete subtree of the new one, its root is not sent: the verifier has it.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    number, last = old - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    if not path:
        return False
    old_reached = new_reached = path[0]
    for sibling in path[1:]:
        if not last:
            return False
        while number == last and not number & 1:
            number, last = number >> 1, last >> 1
        if number & 1:
            old_reached, new_reached = node_hash(sibling, old_reached), node_hash(sibling, new_reached)
        else:
            new_reached = node_hash(new_reached, sibling)  # what is to the right, the old tree does not have
        number, last = number >> 1, last >> 1
    return not last and old_reached == old_root and new_reached == new_root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


def _split(size: int) -> int:
    """The greatest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def _subtree_places(low: int, high: int) -> list[int]:
    """Where the complete subtrees are stored that leaves `low` to `high` consist of; `low` begins one of that size."""
    places = []
    while low < high:
        level = (high - low).bit_length() - 1
        places.append(stored_place(level, low >> level))
        low += 1 << level
    return places


def _subtree(low: int, high: int, read: Read) -> bytes:
    return _joined([read(place) for place in _subtree_places(low, high)])


def _joined(subtrees: Sequence[bytes]) -> bytes:
    reached = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        reached = node_hash(left, reached)
    return reached


def _trailing_ones(number: int) -> int:
    return (~number & number + 1).bit_length() - 1
