"""Pickles of dictionaries of arrays, numbers and text, read without running them."""

from __future__ import annotations

import dataclasses
import math
import pickletools
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from snljax.wording import one_line

T = TypeVar("T")

# All that a pickle of arrays, numbers and text asks for; NumPy 2 calls numpy.core numpy._core.
_ASKED = (
    "_codecs.encode",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.numeric._frombuffer",
)
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_KEYS = (str, bytes, int, float, bool, type(None))  # not tuples: the hash of a deep one overflows the C stack


@dataclasses.dataclass(frozen=True)
class Name:
    """A global that a pickle asks for, which is compared and never looked up."""

    text: str


@dataclasses.dataclass(eq=False)
class Dtype:
    """A dtype as a pickle makes it: kind and size first, then the byte order, which makes it whole."""

    code: str
    whole: np.dtype | None = None


@dataclasses.dataclass(eq=False)
class Array:
    """An array as a pickle makes it: without content first."""

    whole: NDArray | None = None


def dictionary(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary that a pickle describes; nothing that it asks for is called.

    Args:
        content: the pickle.
        where: what an error should call it.

    Returns:
        Name -> array of numbers, list, tuple, dictionary, number, text or bytes.

    Raises:
        ValueError: if it is damaged, asks for anything else, or describes no dictionary.

    Example:
        >>> import pickle
        >>> dictionary(pickle.dumps({"labels": [1, 2]}), "a file")
        {'labels': [1, 2]}
    """
    try:
        if not content:
            raise EOFError("no bytes")
        found = _of_type(_walked(content), dict)
        return {
            k.decode() if isinstance(k, bytes) else str(k): v.whole if isinstance(v, Array) else v
            for k, v in found.items()
        }
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{where}: cannot be unpickled ({one_line(f'{type(error).__name__}: {error}')[:300]}); "
            "allowed: a dictionary of arrays, lists, numbers and text"
        ) from None


class _Machine:
    """What a pickle works on: a stack with open groups, and a memo."""

    def __init__(self, budget: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []  # where in the stack each open group begins
        self.memo: dict[int, Any] = {}  # not a list: an index may be 2^32 - 1
        self.budget = budget  # of bytes made from text, since the memo can offer one text many times

    def pop(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("its stack runs empty")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def group(self) -> list[Any]:
        if not self.marks:
            raise ValueError("it closes a group that it did not open")
        return self.pop(len(self.stack) - self.marks.pop())

    def top(self) -> Any:
        self.stack.extend(self.pop(1))
        return self.stack[-1]


def _walked(content: bytes) -> Any:
    """What a pickle describes, read without running it.

    A pickle is a program. Even one that may only call NumPy can crash Python, because NumPy trusts what it
    is given: an array of objects over chosen bytes holds pointers to anywhere. Here the opcodes are only
    listed by `pickletools` and carried out below, on dictionaries, lists, tuples, bytes, text, numbers and
    arrays of numbers. No opcode reserves more memory than in proportion to its own bytes in the file.
    """
    machine, end = _Machine(len(content)), 0
    opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, Any]] = pickletools.genops(content)
    for opcode, argument, position in opcodes:
        largest = {"PROTO": 5, "FRAME": len(content) - position - 9}  # a frame lies behind its opcode and argument
        if opcode.name == "STOP":
            end = position + 1
        elif opcode.name in largest and argument <= largest[opcode.name]:
            continue
        elif not any(carry_out(machine, opcode.name, argument) for carry_out in _OPCODES):
            raise ValueError(f"it uses {opcode.name}")
    if len(machine.stack) != 1 or machine.marks or end != len(content):
        raise ValueError("something is left over at its end")
    return machine.stack[0]


def _constants(machine: _Machine, name: str, argument: Any) -> bool:
    """Numbers, text, bytes, None and truth values; whether the opcode is one of these."""
    stack = machine.stack
    match name:
        case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
            stack.append(argument)
        case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
            stack.append(argument)
        case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
            stack.append(argument)
        case "STRING" | "BINSTRING" | "SHORT_BINSTRING":  # of Python 2, as bytes
            stack.append(argument.encode("latin-1"))
        case "NONE":
            stack.append(None)
        case "NEWFALSE" | "NEWTRUE":
            stack.append(name == "NEWTRUE")
        case _:
            return False
    return True


def _memo(machine: _Machine, name: str, argument: Any) -> bool:
    """What is put into the memo and taken out of it."""
    memo = machine.memo
    match name:
        case "PUT" | "BINPUT" | "LONG_BINPUT":
            memo[argument] = machine.top()
        case "MEMOIZE":
            memo[len(memo)] = machine.top()
        case "GET" | "BINGET" | "LONG_BINGET":
            if argument not in memo:
                raise ValueError(f"its memo has no {argument}")
            machine.stack.append(memo[argument])
        case _:
            return False
    return True


def _containers(machine: _Machine, name: str, argument: Any) -> bool:
    """Groups, tuples, lists and dictionaries."""
    stack, group, pop = machine.stack, machine.group, machine.pop
    match name:
        case "MARK":
            machine.marks.append(len(stack))
        case "EMPTY_TUPLE":
            stack.append(())
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.append(tuple(pop(int(name[-1]))))
        case "TUPLE":
            stack.append(tuple(group()))
        case "EMPTY_LIST":
            stack.append([])
        case "LIST":
            stack.append(group())
        case "APPEND" | "APPENDS":
            items = group() if name == "APPENDS" else pop(1)
            _of_type(machine.top(), list).extend(items)
        case "EMPTY_DICT":
            stack.append({})
        case "DICT":
            stack.append(_dictionary(group()))
        case "SETITEM" | "SETITEMS":
            items = group() if name == "SETITEMS" else pop(2)
            _of_type(machine.top(), dict).update(_dictionary(items))
        case _:
            return False
    return True


def _objects(machine: _Machine, name: str, argument: Any) -> bool:
    """Bytes, dtypes and arrays, which a pickle makes by calls."""
    match name:
        case "GLOBAL":
            machine.stack.append(_asked(*argument.split(" ", 1)))
        case "STACK_GLOBAL":
            machine.stack.append(_asked(*machine.pop(2)))
        case "REDUCE":
            function, arguments = machine.pop(2)
            made = _called(_of_type(function, Name), _of_type(arguments, tuple), machine.budget)
            machine.budget -= len(made) if isinstance(made, bytes) else 0
            machine.stack.append(made)
        case "BUILD":
            (state,) = machine.pop(1)
            _complete(machine.top(), _of_type(state, tuple))
        case _:
            return False
    return True


_OPCODES = (_constants, _memo, _containers, _objects)


def _of_type(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _dictionary(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(type(key) in _KEYS for key in keys):
        raise ValueError("keys that are neither text nor numbers, or have no values")
    return dict(zip(keys, values, strict=True))


def _asked(module: Any, name: Any) -> Name:
    text = f"{_of_type(module, str)}.{_of_type(name, str)}".replace("numpy.core.", "numpy._core.", 1)
    if text not in _ASKED:
        raise ValueError(f"it asks for {ascii(text)[1:-1]}")
    return Name(text)


def _called(name: Name, arguments: tuple, budget: int) -> bytes | Dtype | Array:
    """What a function would return, if it is called as in the pickles of Python and NumPy themselves."""
    match name.text, arguments:
        case "_codecs.encode", (str(text), "latin1") if len(text) <= budget:  # Python 3's bytes under protocol 2
            return text.encode("latin-1")
        case "numpy.dtype", (str() | bytes() as code, 0, 1) if _latin(code) in _NUMBERS:
            return Dtype(_latin(code))
        case "numpy._core.multiarray._reconstruct", (Name(text="numpy.ndarray"), (0,), "b" | b"b"):
            return Array()
        case "numpy._core.numeric._frombuffer", (
            bytes() | bytearray() as data,
            Dtype() as dtype,
            shape,
            "C" | "F" as order,
        ):
            return Array(_array(data, dtype, shape, order))
    raise ValueError(f"it calls {name.text} for more than plain numbers or bytes")


def _complete(target: Any, state: tuple) -> None:
    match target, state:
        case Dtype(code=code, whole=None), (3, str() | bytes() as order, None, None, None, -1, -1, 0):
            if _latin(order) not in (("|",) if code.endswith("1") else ("<", ">")):
                raise ValueError(f"a byte order that {code} does not have")
            target.whole = np.dtype(f"{_latin(order)}{code}")
        case Array(whole=None), (1, shape, Dtype() as dtype, 0 | 1 as fortran, bytes() | bytearray() as data):
            target.whole = _array(data, dtype, shape, "F" if fortran else "C")
        case _:
            raise ValueError("a state of something other than an array of plain numbers")


def _array(data: bytes | bytearray, dtype: Dtype, shape: Any, order: Literal["C", "F"]) -> NDArray:
    """A view of the data, so that offering one text to many arrays costs nothing; its users copy."""
    sizes = _of_type(shape, tuple)
    if dtype.whole is None:
        raise ValueError("an array whose dtype has no byte order")
    if len(sizes) > 32 or not all(type(size) is int and 0 <= size < 2**63 for size in sizes):
        raise ValueError("a shape that no array has")
    if math.prod(sizes) * dtype.whole.itemsize != len(data):
        raise ValueError(f"an array of shape {sizes} and dtype {dtype.whole} in {len(data)} bytes")
    return np.frombuffer(data, dtype.whole).reshape(sizes, order=order)


def _latin(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else text
