"""Readers of image files: IDX, the pickles and binary files of CIFAR, packed images, single pictures."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import itertools
import math
import pickletools
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from snljax.data.downloads import optional

T = TypeVar("T")
Names = tuple[str, ...]
Arrays = tuple[NDArray, NDArray]  # images, uint8, (n, height, width, channels), and labels, integers, (n,)


class Form(NamedTuple):
    """A form that an official set can have on disk.

    train, test: the files of each split; those of one inner tuple are read together, the last has the labels.
    read: paths of one inner tuple -> images and labels.
    classes: folder -> names of the classes, None if they are not written there.
    """

    train: tuple[Names, ...]
    test: tuple[Names, ...]
    read: Callable[..., Arrays]
    classes: Callable[[Path], Names | None]

    def held_by(self, folder: Path) -> bool:
        """Whether the folder has any of the files; what is missing then is an error, not another form."""
        return any(_variant(folder / file) for unit in self.train + self.test for file in unit)

    def load(self, folder: Path, split: str, classes: Names) -> Arrays:
        """Images and labels, int64, of "train" or "test"; each class must occur."""
        units = self.train if split == "train" else self.test
        parts = [self._load_unit(folder, unit, classes, [f for u in units for f in u]) for unit in units]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        check_all_classes(labels, classes, str(folder / units[0][-1] if len(units) == 1 else folder))
        return images, labels

    def _load_unit(self, folder: Path, unit: Names, classes: Names, needed: Iterable[str]) -> Arrays:
        paths = [_variant(folder / file) for file in unit]
        if None in paths:
            missing = folder / unit[paths.index(None)]
            raise ValueError(f"{missing}: missing; allowed: all of {', '.join(needed)}")
        images, labels = self.read(*paths)
        if len(images) != len(labels):
            where = " and ".join(str(p) for p in paths)
            raise ValueError(f"{where}: {len(images)} images and {len(labels)} labels; allowed: as many of both")
        for extreme in (labels.min(), labels.max()) if len(labels) else ():
            if not 0 <= extreme < len(classes):
                raise ValueError(f"{paths[-1]}: label {extreme}; allowed: 0 to {len(classes) - 1}")
        return images, labels.astype(np.int64)


def check_all_classes(labels: NDArray, classes: Names, where: str) -> None:
    """ValueError if a class does not occur among the labels."""
    absent = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if len(absent):
        k = int(absent[0])
        raise ValueError(f"class {k} ({classes[k]!r}) has no images in {where}; allowed: one or more of each class")


def decoded(items: Sequence[tuple[str, Path | bytes]], chosen: NDArray, size: tuple[int, int] | None) -> NDArray:
    """Pixels of encoded images, grey if all of them are, otherwise RGB.

    Args:
        items: for each image what an error should call it, and its path or its bytes. All of them, not only
            the chosen ones, decide on the colours, so that train and test agree.
        chosen: positions of the images to decode, shape (n,).
        size: (height, width) to resize to; None if all have the same size.

    Returns:
        uint8, shape (n, height, width, channels).

    Raises:
        ValueError: an image cannot be read, has more than 8 bits per channel, or another size than the first.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(file := io.BytesIO(), "png")
        >>> decoded([("red", file.getvalue())], np.array([0]), None)[0, 0, 0].tolist()
        [255, 0, 0]
    """
    heads = [_opened(where, file, lambda image: (image.mode, image.size[::-1])) for where, file in items]
    for (where, _), (mode, shape) in zip(items, heads, strict=True):
        if mode[0] in "IF":  # Pillow would cut such pixels off at 255
            raise ValueError(f"{where}: mode {mode}; allowed: 8 bits per channel")
        if size is None and shape != heads[0][1]:
            raise ValueError(
                f"{where}: {shape} pixels, but {heads[0][1]} in {items[0][0]}; "
                "allowed: one size, or size=(height, width)"
            )
    mode = "L" if all(mode in ("1", "L") for mode, _ in heads) else "RGB"

    def pixels(image: Any) -> NDArray:
        image.info.pop("transparency", None)  # not kept, and Pillow would warn about it
        return np.asarray(_scaled(image.convert(mode), size))

    height, width = size or (heads[0][1] if heads else (0, 0))
    out = np.empty((len(chosen), height, width, 1 if mode == "L" else 3), np.uint8)
    for i, k in enumerate(chosen):
        where, file = items[k]
        out[i] = _opened(where, file, pixels).reshape(out.shape[1:])
    return out


def resized(images: NDArray, size: tuple[int, int] | None) -> NDArray:
    """Images, uint8, (n, height, width, channels), bilinearly resized to (height, width); None leaves them."""
    if size is None:
        return images
    image = optional("PIL.Image")
    flat = images[..., 0] if images.shape[-1] == 1 else images
    out = [np.asarray(_scaled(image.fromarray(one), size)) for one in flat]
    return np.stack(out).reshape(len(images), *size, images.shape[-1])


def _scaled(image: Any, size: tuple[int, int] | None) -> Any:
    return image if size is None else image.resize(size[::-1], optional("PIL.Image").Resampling.BILINEAR)


def _opened(where: str, file: Path | bytes, use: Callable[[Any], T]) -> T:
    pillow = optional("PIL.Image")
    try:
        with pillow.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return use(image)
    except Exception as error:  # each of Pillow's formats has errors of its own
        raise ValueError(f"{where}: unreadable image ({_line(error)}); allowed: one that Pillow opens") from None


def _variant(path: Path) -> Path | None:
    """The file under one of the names that it goes by: gzipped or not, with a dot before idx or without."""
    dotted = path.with_name(path.name.replace("-idx", ".idx"))
    names = (p.with_name(p.name + end) for p in (path, dotted) for end in ("", ".gz"))
    return next((p for p in names if p.is_file()), None)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({_line(error)}); allowed: a whole file") from None


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _idx(path: Path, axes: int) -> NDArray:
    """Bytes behind a header: a magic number that tells type and number of axes, then the length of each axis."""
    content, expected, start = _content(path), 0x0800 + axes, 4 + 4 * axes
    if len(content) < start:
        raise ValueError(f"{path}: {len(content)} bytes, too short for its header; allowed: {start} or more")
    magic, *shape = struct.unpack(f">{1 + axes}I", content[:start])
    if magic != expected:
        raise ValueError(f"{path}: magic number {magic}; allowed: {expected}, unsigned bytes with {axes} axes")
    length = start + math.prod(shape)
    if len(content) != length:
        wrong = "short" if len(content) < length else "long"
        raise ValueError(f"{path}: {len(content)} bytes, too {wrong} for its header; allowed: {length}, for {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_idx(images: Path, labels: Path) -> Arrays:
    return _idx(images, 3)[..., None], _idx(labels, 1)


def _planes(rows: NDArray) -> NDArray:
    """Images from CIFAR's rows, which hold a red, a green and a blue plane."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _read_binary(path: Path, before: int) -> Arrays:
    """Records of ``before`` label bytes, of which the last one counts, and 3072 pixels."""
    content, record = _content(path), before + 3072
    if len(content) % record:
        raise ValueError(f"{path}: {len(content)} bytes; allowed: a multiple of {record}, the length of a record")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return _planes(rows[:, before:]), rows[:, before - 1]


def _binary_classes(folder: Path, file: str) -> Names | None:
    path = folder / file
    lines = _content(path).decode("utf-8", "replace").splitlines() if path.is_file() else []
    return tuple(line.strip() for line in lines if line.strip()) or None


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
class _Name:
    """A global that a pickle asks for, which is compared and never looked up."""

    text: str


@dataclasses.dataclass(eq=False)
class _Dtype:
    """A dtype as a pickle makes it: kind and size first, then the byte order, which makes it whole."""

    code: str
    whole: np.dtype | None = None


@dataclasses.dataclass(eq=False)
class _Array:
    """An array as a pickle makes it: without content first."""

    whole: NDArray | None = None


def _walked(content: bytes) -> Any:
    """What a pickle describes, read without running it.

    A pickle is a program. Even one that may only call NumPy can crash Python, because NumPy trusts what it
    is given: an array of objects over chosen bytes holds pointers to anywhere. Here the opcodes are only
    listed by `pickletools` and carried out below, on dictionaries, lists, tuples, bytes, text, numbers and
    arrays of numbers. No opcode reserves more memory than in proportion to its own bytes in the file.
    """
    stack: list[Any] = []
    marks: list[int] = []  # where in the stack each open group begins
    memo: dict[int, Any] = {}  # not a list: an index may be 2^32 - 1
    budget = len(content)  # of bytes made from text, since the memo can offer one text many times
    end = 0

    def pop(count: int) -> list[Any]:
        start = len(stack) - count
        if start < (marks[-1] if marks else 0):
            raise ValueError("its stack runs empty")
        items = stack[start:]
        del stack[start:]
        return items

    def group() -> list[Any]:
        if not marks:
            raise ValueError("it closes a group that it did not open")
        return pop(len(stack) - marks.pop())

    def top() -> Any:
        stack.extend(pop(1))
        return stack[-1]

    opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, Any]] = pickletools.genops(content)
    for opcode, argument, position in opcodes:
        match opcode.name:
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
                stack.append(opcode.name == "NEWTRUE")
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = top()
            case "MEMOIZE":
                memo[len(memo)] = top()
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in memo:
                    raise ValueError(f"its memo has no {argument}")
                stack.append(memo[argument])
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(pop(int(opcode.name[-1]))))
            case "TUPLE":
                stack.append(tuple(group()))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(group())
            case "APPEND" | "APPENDS":
                items = group() if opcode.name == "APPENDS" else pop(1)
                _of_type(top(), list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                stack.append(_dictionary(group()))
            case "SETITEM" | "SETITEMS":
                items = group() if opcode.name == "SETITEMS" else pop(2)
                _of_type(top(), dict).update(_dictionary(items))
            case "GLOBAL":
                stack.append(_asked(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(_asked(*pop(2)))
            case "REDUCE":
                name, arguments = pop(2)
                made = _called(_of_type(name, _Name), _of_type(arguments, tuple), budget)
                budget -= len(made) if isinstance(made, bytes) else 0
                stack.append(made)
            case "BUILD":
                (state,) = pop(1)
                _complete(top(), _of_type(state, tuple))
            case "PROTO" if argument <= 5:
                pass
            case "FRAME" if argument <= len(content) - position - 9:  # behind the opcode and its argument
                pass
            case "STOP":
                end = position + 1
            case _:
                raise ValueError(f"it uses {opcode.name}")
    if len(stack) != 1 or marks or end != len(content):
        raise ValueError("something is left over at its end")
    return stack[0]


def _of_type(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _dictionary(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(type(key) in _KEYS for key in keys):
        raise ValueError("keys that are neither text nor numbers, or have no values")
    return dict(zip(keys, values, strict=True))


def _asked(module: Any, name: Any) -> _Name:
    text = f"{_of_type(module, str)}.{_of_type(name, str)}".replace("numpy.core.", "numpy._core.", 1)
    if text not in _ASKED:
        raise ValueError(f"it asks for {ascii(text)[1:-1]}")
    return _Name(text)


def _called(name: _Name, arguments: tuple, budget: int) -> bytes | _Dtype | _Array:
    """What a function would return, if it is called as in the pickles of Python and NumPy themselves."""
    match name.text, arguments:
        case "_codecs.encode", (str(text), "latin1") if len(text) <= budget:  # Python 3's bytes under protocol 2
            return text.encode("latin-1")
        case "numpy.dtype", (str() | bytes() as code, 0, 1) if _latin(code) in _NUMBERS:
            return _Dtype(_latin(code))
        case "numpy._core.multiarray._reconstruct", (_Name(text="numpy.ndarray"), (0,), "b" | b"b"):
            return _Array()
        case "numpy._core.numeric._frombuffer", (
            bytes() | bytearray() as data,
            _Dtype() as dtype,
            shape,
            "C" | "F" as order,
        ):
            return _Array(_array(data, dtype, shape, order))
    raise ValueError(f"it calls {name.text} for more than plain numbers or bytes")


def _complete(target: Any, state: tuple) -> None:
    match target, state:
        case _Dtype(code=code, whole=None), (3, str() | bytes() as order, None, None, None, -1, -1, 0):
            if _latin(order) not in (("|",) if code.endswith("1") else ("<", ">")):
                raise ValueError(f"a byte order that {code} does not have")
            target.whole = np.dtype(f"{_latin(order)}{code}")
        case _Array(whole=None), (1, shape, _Dtype() as dtype, 0 | 1 as fortran, bytes() | bytearray() as data):
            target.whole = _array(data, dtype, shape, "F" if fortran else "C")
        case _:
            raise ValueError("a state of something other than an array of plain numbers")


def _array(data: bytes | bytearray, dtype: _Dtype, shape: Any, order: Literal["C", "F"]) -> NDArray:
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


def _unpickled(path: Path) -> dict[str, Any]:
    content = _content(path)
    try:
        if not content:
            raise EOFError("no bytes")
        found = _of_type(_walked(content), dict)
        return {
            k.decode() if isinstance(k, bytes) else str(k): v.whole if isinstance(v, _Array) else v
            for k, v in found.items()
        }
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{path}: cannot be unpickled ({_line(error)[:300]}); "
            "allowed: a dictionary of arrays, lists, numbers and text"
        ) from None


def _read_pickle(path: Path, key: str) -> Arrays:
    content = _unpickled(path)
    rows, labels = content.get("data"), content.get(key)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072:
        raise ValueError(f"{path}: no images under 'data'; allowed: uint8, shape (n, 3072)")
    if (
        not isinstance(labels, list | np.ndarray)
        or getattr(labels, "ndim", 1) != 1
        or not all(isinstance(v, int | np.integer) and -(2**63) <= v < 2**63 for v in labels)
    ):
        raise ValueError(f"{path}: no labels under {key!r}; allowed: a list of whole numbers")
    return _planes(rows), np.array(labels, np.int64)


def _pickle_classes(folder: Path, file: str, key: str) -> Names | None:
    path = folder / file
    if not path.is_file():
        return None
    names = _unpickled(path).get(key)
    if not isinstance(names, list) or not all(isinstance(n, bytes | str) for n in names):
        raise ValueError(f"{path}: no names of classes under {key!r}; allowed: a list of names")
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names)


def _packed(path: Path, *names: str) -> list[NDArray]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return [file[name] for name in names]
    except Exception as error:  # a damaged archive can fail in many ways
        raise ValueError(
            f"{path}: cannot be read ({_line(error)}); allowed: an npz file of jpeg, offset, label and classes"
        ) from None


def _read_packed(path: Path) -> Arrays:
    """Encoded images one after the other, and where each begins; the last offset is the end of the last image."""
    data, offset, labels = _packed(path, "jpeg", "offset", "label")
    kinds = [(a.dtype.kind, a.ndim) for a in (offset, labels)]
    if data.dtype != np.uint8 or data.ndim != 1 or not set(kinds) <= {("i", 1), ("u", 1)} or len(offset) < 1:
        raise ValueError(f"{path}: arrays of another kind; allowed: jpeg uint8, offset and label whole numbers")
    offset = offset.astype(np.int64)
    if offset[0] != 0 or offset[-1] != len(data) or (np.diff(offset) < 0).any():
        raise ValueError(f"{path}: offset does not divide jpeg; allowed: ascending from 0 to {len(data)}")
    content, ends = data.tobytes(), offset.tolist()
    items = [(f"{path}, image {i}", content[a:b]) for i, (a, b) in enumerate(itertools.pairwise(ends))]
    return decoded(items, np.arange(len(items)), None), labels


def _packed_classes(folder: Path) -> Names | None:
    paths = [path for path in (folder / "train.npz", folder / "test.npz") if path.is_file()]
    lists = [tuple(map(str, _packed(path, "classes")[0].ravel())) for path in paths]
    if lists[0] != lists[-1]:
        raise ValueError(f"{paths[-1]}: other classes than in {paths[0].name}; allowed: the same ones in both")
    return lists[0]


def _units(*files: str) -> tuple[Names, ...]:
    return tuple((file,) for file in files)


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_PACKED = Form(_units("train.npz"), _units("test.npz"), _read_packed, _packed_classes)
_IDX = Form(
    (("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),),
    (("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),),
    _read_idx,
    lambda folder: None,
)
FORMS = {
    "mnist": (_IDX, _PACKED),
    "fashion_mnist": (_IDX, _PACKED),
    "cifar10": (
        Form(
            _units(*_BATCHES),
            _units("test_batch"),
            functools.partial(_read_pickle, key="labels"),
            functools.partial(_pickle_classes, file="batches.meta", key="label_names"),
        ),
        Form(
            _units(*(f"{batch}.bin" for batch in _BATCHES)),
            _units("test_batch.bin"),
            functools.partial(_read_binary, before=1),
            functools.partial(_binary_classes, file="batches.meta.txt"),
        ),
        _PACKED,
    ),
    "cifar100": (
        Form(
            _units("train"),
            _units("test"),
            functools.partial(_read_pickle, key="fine_labels"),
            functools.partial(_pickle_classes, file="meta", key="fine_label_names"),
        ),
        Form(
            _units("train.bin"),
            _units("test.bin"),
            functools.partial(_read_binary, before=2),
            functools.partial(_binary_classes, file="fine_label_names.txt"),
        ),
        _PACKED,
    ),
}
# For where the files name no classes.
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar100": tuple(map(str, range(100))),
}
