"""Classic BPF programs (Linux `Documentation/networking/filter.rst`): instructions by name, jumps to labels.

Only what a socket filter needs. Loads take their offset from the index register X, which begins as the caller sets it;
a load behind the packet's end ends the program and refuses the packet.
"""

import struct
from dataclasses import dataclass, field

from capture.errors import FilterError

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: the kernel takes no longer program."""
INSTRUCTION = struct.Struct("=HBBI")
"""`struct sock_filter`: code, jump if true, jump if false, operand."""
_FARTHEST = 0xFF
_LD_W_IND, _LD_H_IND, _LD_B_IND = 0x40, 0x48, 0x50
_LDX_IMM, _TAX, _TXA = 0x01, 0x07, 0x87
_ST, _LD_MEM = 0x02, 0x60
_ADD_K, _ADD_X, _AND_K, _LSH_K = 0x04, 0x0C, 0x54, 0x64
_JA, _JEQ, _JGT, _JGE, _JSET = 0x05, 0x15, 0x25, 0x35, 0x45
_RET_K = 0x06


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instruction:
    code: int
    operand: int = 0
    then: str | None = None
    otherwise: str | None = None


@dataclass(slots=True)
class Assembler:
    """A program being written from top to bottom; jumps lead forward."""

    _instructions: list[_Instruction] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        if name in self._labels:
            raise FilterError(f"label {name} is there twice")
        self._labels[name] = len(self._instructions)

    def load_byte(self, offset: int) -> None:
        """A = the byte at X + offset."""
        self._add(_LD_B_IND, offset)

    def load_half(self, offset: int) -> None:
        """A = the 16-bit number in network order at X + offset."""
        self._add(_LD_H_IND, offset)

    def load_word(self, offset: int) -> None:
        """A = the 32-bit number in network order at X + offset."""
        self._add(_LD_W_IND, offset)

    def set_index(self, value: int) -> None:
        """X = value."""
        self._add(_LDX_IMM, value)

    def advance_index(self, size: int) -> None:
        """X += size; A is lost."""
        self._add(_TXA)
        self._add(_ADD_K, size)
        self._add(_TAX)

    def advance_index_by_accumulator(self) -> None:
        """X += A; A is lost."""
        self._add(_ADD_X)
        self._add(_TAX)

    def store(self) -> None:
        """Keep A for `recall`."""
        self._add(_ST)

    def recall(self) -> None:
        """A = what was stored."""
        self._add(_LD_MEM)

    def add(self, value: int) -> None:
        """A += value."""
        self._add(_ADD_K, value)

    def bit_and(self, mask: int) -> None:
        """A &= mask."""
        self._add(_AND_K, mask)

    def shift_left(self, bits: int) -> None:
        """A <<= bits."""
        self._add(_LSH_K, bits)

    def jump(self, then: str) -> None:
        """Go on at a label, however far."""
        self._add(_JA, 0, then)

    def if_equal(self, value: int, then: str | None = None, otherwise: str | None = None) -> None:
        """Branch on A == value; None is the next instruction."""
        self._add(_JEQ, value, then, otherwise)

    def if_greater(self, value: int, then: str | None = None, otherwise: str | None = None) -> None:
        """Branch on A > value."""
        self._add(_JGT, value, then, otherwise)

    def if_at_least(self, value: int, then: str | None = None, otherwise: str | None = None) -> None:
        """Branch on A >= value."""
        self._add(_JGE, value, then, otherwise)

    def if_any_bit(self, mask: int, then: str | None = None, otherwise: str | None = None) -> None:
        """Branch on A & mask != 0."""
        self._add(_JSET, mask, then, otherwise)

    def answer(self, snap_bytes: int) -> None:
        """End: let so many bytes of the packet pass; 0 refuses it."""
        self._add(_RET_K, snap_bytes)

    def assemble(self) -> bytes:
        """Return the array of `struct sock_filter`.

        Raises:
            FilterError: an unknown label, a jump backward or too far, or too many instructions.
        """
        if len(self._instructions) > MAX_INSTRUCTIONS:
            raise FilterError(f"{len(self._instructions)} instructions; the kernel takes {MAX_INSTRUCTIONS}")
        return b"".join(self._encode(at, instruction) for at, instruction in enumerate(self._instructions))

    def _add(self, code: int, operand: int = 0, then: str | None = None, otherwise: str | None = None) -> None:
        self._instructions.append(_Instruction(code=code, operand=operand, then=then, otherwise=otherwise))

    def _encode(self, at: int, instruction: _Instruction) -> bytes:
        then = self._distance(at, instruction.then)
        if instruction.code == _JA:
            return INSTRUCTION.pack(_JA, 0, 0, then)
        otherwise = self._distance(at, instruction.otherwise)
        if max(then, otherwise) > _FARTHEST:
            raise FilterError(f"jump over {max(then, otherwise)} instructions; a condition reaches {_FARTHEST}")
        return INSTRUCTION.pack(instruction.code, then, otherwise, instruction.operand)

    def _distance(self, at: int, label: str | None) -> int:
        if label is None:
            return 0
        if label not in self._labels:
            raise FilterError(f"label {label} is nowhere")
        distance = self._labels[label] - at - 1
        if distance < 0:
            raise FilterError(f"jump backward to {label}")
        return distance
