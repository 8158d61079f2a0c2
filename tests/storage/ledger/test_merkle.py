"""RFC 6962 by the test vectors of Certificate Transparency, and what must hold of any tree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.ledger import merkle
from storage.ledger.merkle import Frontier

# The eight leaves, roots and proofs that every implementation of Certificate Transparency is tested with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
A, B, C, D, E, F = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
)
B08693 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
INCLUSION = [  # leaf, size, audit path
    (0, 1, ()),
    (0, 8, (A, B, C)),
    (5, 8, (D, E, ROOTS[3])),
    (2, 3, (ROOTS[1],)),
    (1, 5, (ROOTS[0], B, D)),
]
CONSISTENCY = [  # old size, size, proof
    (1, 1, ()),
    (1, 8, (A, B, C)),
    (6, 8, (F, E, ROOTS[3])),
    (2, 5, (B, D)),
    (6, 7, (F, B08693, ROOTS[3])),
]
sizes = st.integers(1, 200)


def leaf_hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def stored(leaves: list[bytes]) -> list[bytes]:
    frontier = Frontier()
    return [one for leaf in leaves for one in frontier.append(leaf)]


def by_definition(leaves: list[bytes]) -> bytes:
    """The recursion of section 2.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_vectors(size):
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(merkle.leaf_hash(leaf))
    assert frontier.root().hex() == ROOTS[size - 1]


def test_the_empty_tree():
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("leaf", "size", "path"), INCLUSION)
def test_inclusion_proofs_of_the_vectors(leaf, size, path):
    hashes = stored([merkle.leaf_hash(one) for one in LEAVES])
    proof = merkle.inclusion_proof(leaf, size, hashes.__getitem__)
    assert [one.hex() for one in proof] == list(path)
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.verify_inclusion(leaf, size, merkle.leaf_hash(LEAVES[leaf]), proof, root)


@pytest.mark.parametrize(("old", "size", "path"), CONSISTENCY)
def test_consistency_proofs_of_the_vectors(old, size, path):
    hashes = stored([merkle.leaf_hash(one) for one in LEAVES])
    proof = merkle.consistency_proof(old, size, hashes.__getitem__)
    assert [one.hex() for one in proof] == list(path)
    assert merkle.verify_consistency(old, size, proof, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[size - 1]))


def test_stored_hashes_lie_as_in_sumdb():
    # Level 0's first leaves and the subtrees between them, as in golang.org/x/mod/sumdb/tlog.
    order = [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1), (2, 0), (0, 4), (0, 5), (1, 2), (0, 6), (0, 7), (1, 3)]
    assert [merkle.stored_place(level, number) for level, number in order] == list(range(13))
    assert [merkle.stored_count(size) for size in range(9)] == [0, 1, 3, 4, 7, 8, 10, 11, 15]


@settings(deadline=None)
@given(sizes)
def test_appended_one_by_one_equals_from_scratch(size):
    leaves = leaf_hashes(size)
    hashes = stored(leaves)
    assert len(hashes) == merkle.stored_count(size)
    for part in {1, size // 2, size} - {0}:
        assert merkle.root(part, hashes.__getitem__) == by_definition(leaves[:part])
    resumed = Frontier(size // 2, hashes.__getitem__)
    for leaf in leaves[size // 2 :]:
        resumed.append(leaf)
    assert resumed.root() == by_definition(leaves)


@settings(deadline=None)
@given(sizes, st.data())
def test_any_inclusion_proof_verifies_and_no_altered_one_does(size, data):
    index = data.draw(st.integers(0, size - 1))
    leaves = leaf_hashes(size)
    hashes = stored(leaves)
    root = merkle.root(size, hashes.__getitem__)
    proof = merkle.inclusion_proof(index, size, hashes.__getitem__)
    assert merkle.verify_inclusion(index, size, leaves[index], proof, root)
    assert not merkle.verify_inclusion(index, size, merkle.leaf_hash(b"another"), proof, root)
    assert not merkle.verify_inclusion(index, size, leaves[index], proof, merkle.leaf_hash(b"another"))
    for other in {*range(-1, size + 1)} - {index}:
        assert not merkle.verify_inclusion(other, size, leaves[index], proof, root)
    for altered in _altered(proof, data):
        assert not merkle.verify_inclusion(index, size, leaves[index], altered, root)


@settings(deadline=None)
@given(sizes, st.data())
def test_any_consistency_proof_verifies_and_no_altered_one_does(size, data):
    old = data.draw(st.integers(0, size))
    leaves = leaf_hashes(size)
    hashes = stored(leaves)
    old_root, root = (merkle.root(one, hashes.__getitem__) for one in (old, size))
    proof = merkle.consistency_proof(old, size, hashes.__getitem__)
    assert merkle.verify_consistency(old, size, proof, old_root, root)
    another = merkle.leaf_hash(b"another")
    assert not merkle.verify_consistency(old, size, proof, another, root)
    assert not merkle.verify_consistency(old, size, proof, old_root, another) or old == 0
    assert not merkle.verify_consistency(size + 1, size, proof, old_root, root)
    for altered in _altered(proof, data):
        assert not merkle.verify_consistency(old, size, altered, old_root, root)


@settings(deadline=None)
@given(sizes, st.data())
def test_a_changed_leaf_is_inconsistent(size, data):
    old = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, old - 1))
    leaves = leaf_hashes(size)
    old_root = by_definition(leaves[:old])
    leaves[changed] = merkle.leaf_hash(b"another")
    hashes = stored(leaves)
    proof = merkle.consistency_proof(old, size, hashes.__getitem__)
    assert not merkle.verify_consistency(old, size, proof, old_root, by_definition(leaves))


@settings(deadline=None)
@given(
    st.integers(-3, 300), st.integers(-3, 300), st.lists(st.binary(max_size=40), max_size=12), st.binary(max_size=40)
)
def test_nothing_sent_makes_the_verifiers_fail(index, size, proof, other):
    assert not merkle.verify_inclusion(index, size, other, proof, b"\0" * 32)
    if proof:
        assert not merkle.verify_consistency(index, size, proof, other, b"\0" * 32)


def _altered(proof: list[bytes], data) -> list[list[bytes]]:
    another = merkle.leaf_hash(b"another")
    altered = [[*proof, another], [another, *proof], [*proof, b""]]
    if proof:
        place, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[place], "big") ^ 1 << bit).to_bytes(32, "big")
        altered += [proof[:-1], proof[1:], [*proof[:place], flipped, *proof[place + 1 :]]]
        if len(proof) > 1:
            altered.append([proof[1], proof[0], *proof[2:]])
    return altered
