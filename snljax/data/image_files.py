"""Readers of image files: IDX, the pickles and binary files of CIFAR, packed images, single pictures."""

from __future__ import annotations

import functools
import gzip
import io
import itertools
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from snljax.data import pickles
from snljax.data.downloads import optional
from snljax.wording import one_line

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
    return one_line(f"{type(error).__name__}: {error}")


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


def _read_pickle(path: Path, key: str) -> Arrays:
    content = pickles.dictionary(_content(path), str(path))
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
    names = pickles.dictionary(_content(path), str(path)).get(key)
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
