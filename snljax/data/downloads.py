"""Where the official image sets lie: a given folder, SNLJAX_DATA, the cache, or the network."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from snljax.wording import one_line


class Archive(NamedTuple):
    """An official set: where its files come from, and where they may lie.

    url: the address that file names are put after.
    files: file name -> its hash, ``"md5:..."``.
    folders: sub-folders of a data folder that may hold the set, in the order in which they are tried.
    """

    url: str
    files: dict[str, str]
    folders: tuple[str, ...]


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx(url: str, folders: tuple[str, ...], *hashes: str) -> Archive:
    return Archive(url, {f"{f}.gz": f"md5:{h}" for f, h in zip(_IDX, hashes, strict=True)}, folders)


def _cifar(name: str, stem: str, binary: str, md5: str) -> Archive:
    inner = (f"{stem}-{'batches-py' if name == 'cifar10' else 'python'}", binary)
    folders = (name, *inner, *(f"{name}/{i}" for i in inner))
    return Archive("https://www.cs.toronto.edu/~kriz/", {f"{stem}-python.tar.gz": f"md5:{md5}"}, folders)


ARCHIVES = {
    "mnist": _idx(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ("mnist", "MNIST/raw"),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion_mnist": _idx(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ("fashion_mnist", "FashionMNIST/raw"),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "cifar10": _cifar("cifar10", "cifar-10", "cifar-10-batches-bin", "c58f30108f718f92721af3b95e74349a"),
    "cifar100": _cifar("cifar100", "cifar-100", "cifar-100-binary", "eb9058c3a382ffc7106e4002c42a8d85"),
}


def optional(module: str) -> Any:
    """A module of the extra ``vision``, imported only where it is needed; ValueError if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"{module}: not installed; allowed: pip install 'snljax[vision]'") from None


def find(name: str, holds: Callable[[Path], bool], folder: str | os.PathLike[str] | None, download: bool) -> Path:
    """The folder that holds an official set: the first of the places, or a fresh download.

    Args:
        name: a key of ``ARCHIVES``.
        holds: says whether a folder holds files of the set.
        folder: the only place to look at, with its named sub-folders; None for SNLJAX_DATA, then the cache.
        download: whether to fetch the set into the cache if no place has it.

    Returns:
        The folder.

    Raises:
        ValueError: ``folder`` does not exist, nothing was found, or the download failed.
    """
    inside = ARCHIVES[name].folders
    named = f"sub-folders {', '.join(inside)}"

    def within(root: Path) -> Path | None:
        return next((root / i for i in inside if holds(root / i)), None)

    if folder is not None:
        given = Path(folder).expanduser()
        if not given.is_dir():
            raise ValueError(f"folder: {given} is not a folder; allowed: one with the files of {name}")
        if there := given if holds(given) else within(given):
            return there
        raise ValueError(
            f"{name}: not found; looked at {given} and its {named}; allowed: a folder with the files of {name}"
        )
    variable = os.environ.get("SNLJAX_DATA")
    looked = [f"SNLJAX_DATA ({variable or 'not set'})"]
    if variable and not Path(variable).expanduser().is_dir():
        raise ValueError(f"SNLJAX_DATA: {variable} is not a folder; allowed: a folder of data sets, or unset")
    if variable and (there := within(Path(variable).expanduser())):
        return there
    # pooch is asked for only now: whoever has the files needs none.
    cache = Path(optional("pooch").os_cache("snljax"))
    looked.append(f"the cache ({cache})")
    if there := within(cache):
        return there
    why = "nothing is downloaded (download=False)"
    if download:
        try:
            _fetch(ARCHIVES[name], cache / inside[0])
            if there := within(cache):
                return there
            why = f"the download holds no files of {name}"
        except (OSError, ValueError) as error:  # what requests raises is an OSError too
            if there := within(cache):
                return there  # another process was faster
            why = f"the download failed: {one_line(error)}"
    raise ValueError(
        f"{name}: not found; looked at {', then at '.join(looked)}, each with {named}; {why}; "
        "allowed: its files in one of these places or in folder=..., or download=True and a network"
    )


def _fetch(archive: Archive, target: Path) -> None:
    """Downloads and unpacks into ``target``, which appears only when all is there.

    Until then all lies in ``<target>.part``, and another call goes on from there.
    """
    pooch, _ = optional("pooch"), optional("requests")  # pooch would only say that it has no module
    staging = target.with_name(target.name + ".part")
    for name, known in archive.files.items():
        part = functools.partial(_resumed, part=staging / f"{name}.part")
        path = pooch.retrieve(archive.url + name, known, fname=name, path=staging, downloader=part)
        if name.endswith(".tar.gz"):
            # Nothing but the set's own folder; "download" unpacks anew over what an interrupted call has left.
            pooch.Untar(members=[archive.folders[1]], extract_dir=".")(path, "download", None)
            os.remove(path)
    staging.replace(target)


def _resumed(url: str, output: str, pooch: Any, part: Path) -> None:
    """A downloader for pooch that keeps what has arrived, in ``part``, and asks for the rest the next time."""
    requests = optional("requests")
    from tqdm.auto import tqdm

    have = part.stat().st_size if part.exists() else 0
    # Not compressed once more on the way, or sizes and ranges would be those of something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        if answer.status_code == 416 and have:
            part.unlink()
            return _resumed(url, output, pooch, part)
        answer.raise_for_status()
        start = have if answer.status_code == 206 else 0
        length = int(answer.headers.get("Content-Length", 0))
        total = start + length if length else None
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, leave=False)
        with bar, part.open("ab" if start else "wb") as file:
            for chunk in answer.iter_content(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
    part.replace(output)
