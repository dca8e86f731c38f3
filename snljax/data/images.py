"""Labelled images from disk: digits, MNIST, Fashion-MNIST, CIFAR, folders and lists of pictures; all on the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snljax.data import downloads, image_files, image_lists
from snljax.wording import nearest

SPLITS = ("train", "test", "all")
NAMES = ("digits", *downloads.ARCHIVES)
EVERY = 5  # without an official split, a class's every fifth image is for the test


class Images(NamedTuple):
    """Labelled images of one size.

    images: uint8, shape (n, height, width, channels), 1 or 3 channels.
    labels: int64, shape (n,), positions in ``classes``.
    classes: names of the classes.
    source: where the images came from: a path, or "scikit-learn".
    """

    images: NDArray
    labels: NDArray
    classes: tuple[str, ...]
    source: str


def load(
    name: str | os.PathLike[str] = "digits",
    split: str = "train",
    *,
    folder: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    download: bool = True,
) -> Images:
    """Images of an official set, or of a folder with one sub-folder per class.

    An official set is looked for in ``folder`` alone if that is given, and else in the folder that the
    environment variable SNLJAX_DATA names, then in the cache; then it is downloaded into the cache. It may
    have its official form (IDX files, plain or gzipped; pickles or binary files of CIFAR) or a packed one:
    ``train.npz`` and ``test.npz`` with the bytes of all encoded images, ``jpeg``, where each begins,
    ``offset``, and ``label`` and ``classes``.

    Args:
        name: "digits" (of scikit-learn), "mnist", "fashion_mnist", "cifar10", "cifar100", or the path of a
            folder with one sub-folder of images per class, or with sub-folders train and test of that kind.
        split: "train", "test" or "all", train first. Where nobody has drawn a line (digits, a folder without
            train and test) each class's images 4, 9, 14, ... are for the test.
        folder: where the files of an official set lie, itself or its sub-folder.
        size: (height, width) to which all images are resized; a folder of unequal images needs it.
        download: whether an official set that is nowhere to be found may be downloaded.

    Returns:
        Images. Pictures of a folder are grey if all of them are, otherwise RGB.

    Raises:
        ValueError: an unknown name or split, a set that is not found, or a file that is not as it should be.

    Example:
        >>> digits = load("digits", "test")
        >>> digits.images.shape, digits.images.max(), digits.classes[:3]
        ((355, 8, 8, 1), np.uint8(255), ('0', '1', '2'))
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(f"name: {name!r}; allowed: {', '.join(NAMES)}, or the path of a folder")
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is not known; allowed: {', '.join(SPLITS)}")
    _check_size(size)
    if name in downloads.ARCHIVES:
        found = _official(str(name), split, folder, download)
    elif folder is not None:
        raise ValueError(f"folder: given with {str(name)!r}; allowed: with {', '.join(downloads.ARCHIVES)}")
    elif name == "digits":
        found = _digits(split)
    elif Path(name).expanduser().is_dir():
        return _pictures(Path(name).expanduser(), split, size)
    else:
        raise ValueError(
            f"name: {str(name)!r} is neither known nor a folder; {nearest(str(name), NAMES)}"
            f"allowed: {', '.join(NAMES)}, or a path"
        )
    return found._replace(images=image_files.resized(found.images, size))


def load_list(
    list_file: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
) -> Images:
    """Images that a text file lists, a line ``path label`` for each: the form of ImageNet-LT's and Places-LT's splits.

    Args:
        list_file: the list. Labels are whole numbers from 0 and kept as they are; blank lines are nothing.
        root: folder that the paths begin in; None for the list's own.
        size: (height, width) to which all images are resized; a list of unequal images needs it.
        classes: names of the classes; None for "0", "1", ... up to the largest label.

    Returns:
        Images, in the order of the list; grey if all of them are, otherwise RGB. They are opened one after the other,
        so that memory holds their pixels and nothing else: n · height · width · channels bytes.

    Raises:
        ValueError: a list that cannot be read or is empty, a line without path and label, a label that is no whole
            number or no class, a missing file (each names its line), a class without images, or an image that cannot
            be read.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (6, 4), "red").save(folder / "a.png")
        >>> written = (folder / "train.txt").write_text("a.png 0")
        >>> load_list(folder / "train.txt", size=(2, 3)).images.shape
        (1, 2, 3, 3)
    """
    _check_size(size)
    path = Path(list_file).expanduser()
    lines = image_lists.read(path, path.parent if root is None else Path(root).expanduser())
    labels = np.array([line.label for line in lines], np.int64)
    if classes is None and labels.max() >= len(lines):
        raise ValueError(
            f"{path}: label {labels.max()} among {len(lines)} images; allowed: one or more of each class from 0 on"
        )
    names = tuple(map(str, range(labels.max() + 1) if classes is None else classes))
    for line in lines:
        if line.label >= len(names):
            raise ValueError(f"{line.where}: label {line.label}; allowed: 0 to {len(names) - 1}")
    image_files.check_all_classes(labels, names, str(path))
    pixels = image_files.decoded(
        [(f"{line.where}: {line.file}", line.file) for line in lines], np.arange(len(lines)), size
    )
    return Images(pixels, labels, names, str(path))


def at_hand(name: str) -> bool:
    """Whether an official set can be loaded without a download.

    Args:
        name: as for `load`.

    Returns:
        Whether the folder that SNLJAX_DATA names, or the cache, holds it.

    Example:
        >>> at_hand("digits"), at_hand("no set")
        (True, False)
    """
    if name not in downloads.ARCHIVES:
        return name == "digits"
    try:
        _place(name, None, download=False)
    except ValueError:
        return False
    return True


def stamp(name: str) -> tuple[tuple[str, int, int], ...]:
    """What tells whether the files of a set have changed: path, time and size of each.

    Args:
        name: as for `load`, whose errors it raises; an official set that is nowhere is downloaded.

    Returns:
        One entry for each file; none for the digits, which never change.

    Example:
        >>> stamp("digits")
        ()
    """
    if name == "digits":
        return ()
    place = _place(name, None, download=True) if name in downloads.ARCHIVES else Path(name).expanduser()
    walked = os.walk(place.resolve(), followlinks=True)
    files = sorted(os.path.join(folder, file) for folder, _, names in walked for file in names)
    return tuple(
        (file, about.st_mtime_ns, about.st_size) for file, about in zip(files, map(os.stat, files), strict=True)
    )


def _check_size(size: object) -> None:
    if size is not None and not (isinstance(size, (tuple, list)) and len(size) == 2 and all(map(_positive, size))):
        raise ValueError(f"size: {size!r}; allowed: None, or (height, width), whole numbers from 1")


def _positive(number: object) -> bool:
    return isinstance(number, int) and number > 0


def _official(name: str, split: str, folder: str | os.PathLike[str] | None, download: bool) -> Images:
    place = _place(name, folder, download)
    form = next(form for form in image_files.FORMS[name] if form.held_by(place))
    classes = form.classes(place) or image_files.CLASSES[name]
    splits = ("train", "test") if split == "all" else (split,)
    parts = [form.load(place, s, classes) for s in splits]
    if len({images.shape[1:] for images, _ in parts}) > 1:
        shapes = " and ".join(str(images.shape[1:]) for images, _ in parts)
        raise ValueError(f"{place}: images of train and test have shapes {shapes}; allowed: the same shape")
    images, labels = (np.concatenate(a) for a in zip(*parts, strict=True))
    return Images(images, labels, classes, str(place))


def _place(name: str, folder: str | os.PathLike[str] | None, download: bool) -> Path:
    """The folder that holds an official set."""
    forms = image_files.FORMS[name]
    return downloads.find(name, lambda f: any(form.held_by(f) for form in forms), folder, download)


def _digits(split: str) -> Images:
    data = downloads.optional("sklearn.datasets").load_digits()
    labels, classes = data.target.astype(np.int64), tuple(str(c) for c in data.target_names)
    own = _chosen(_held_out(labels), split)
    images = np.round(data.images[own] * 255 / 16).astype(np.uint8)  # from 0..16
    return Images(images[..., None], labels[own], classes, "scikit-learn")


def _held_out(labels: NDArray) -> NDArray:
    """Marks each class's every fifth image."""
    out = np.zeros(len(labels), bool)
    for k in np.unique(labels):
        out[np.flatnonzero(labels == k)[EVERY - 1 :: EVERY]] = True
    return out


def _chosen(held_out: NDArray, split: str) -> NDArray:
    """Positions of the images of a split."""
    train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return {"train": train, "test": test, "all": np.concatenate([train, test])}[split]


def _pictures(root: Path, split: str, size: tuple[int, int] | None) -> Images:
    inside = {folder.name for folder in _folders(root)}
    # "train" may also be the name of a class, among other classes.
    if inside and (inside <= {"train", "test"} or inside >= {"train", "test"}):
        if missing := {"train", "test"} - inside:
            raise ValueError(f"{root / missing.pop()}: missing; allowed: both train and test, or one folder per class")
        train, test = _files_by_class(root / "train"), _files_by_class(root / "test")
        if odd := sorted(set(train) ^ set(test)):
            where = root / ("train" if odd[0] in test else "test")
            raise ValueError(f"{where}: class {odd[0]} is missing; allowed: the same classes in train and test")
        parts, held = [train, test], np.repeat([False, True], [sum(map(len, t.values())) for t in (train, test)])
    else:
        parts, held = [_files_by_class(root)], None
    classes = tuple(parts[0])
    items = [(str(f), f) for part in parts for files in part.values() for f in files]
    labels = np.array([k for part in parts for k, c in enumerate(classes) for _ in part[c]], np.int64)
    own = _chosen(_held_out(labels) if held is None else held, split)
    image_files.check_all_classes(labels[own], classes, f"{root}, split {split}")
    return Images(image_files.decoded(items, own, size), labels[own], classes, str(root))


def _folders(root: Path) -> list[Path]:
    """Sub-folders in the order of their names, without hidden ones."""
    found = (f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    return sorted(found, key=lambda f: f.name)


def _files_by_class(root: Path) -> dict[str, list[Path]]:
    image = downloads.optional("PIL.Image")
    known = {suffix for suffix, form in image.registered_extensions().items() if form in image.OPEN}
    out = {}
    for folder in _folders(root):
        files = (f for f in folder.iterdir() if f.suffix.lower() in known and not f.name.startswith("."))
        out[folder.name] = sorted((f for f in files if f.is_file()), key=lambda f: f.name)
        if not out[folder.name]:
            raise ValueError(f"{folder}: class {folder.name} has no images; allowed: files such as a.png or a.jpg")
    if not out:
        raise ValueError(f"{root}: no sub-folders; allowed: one sub-folder of images per class")
    return out
