"""Every form of image files, written here by other means; what is wrong with them; search and download."""

from __future__ import annotations

import _pickle
import ast
import gzip
import hashlib
import http.server
import io
import os
import pathlib
import pickle
import pickletools
import shutil
import struct
import sys
import tarfile
import threading
import tracemalloc
import warnings
from typing import ClassVar

import chex
import numpy as np
import pooch
import pytest
from PIL import Image

from snljax.data import downloads, image_files, images, pickles

REAL = os.environ.get("SNLJAX_DATA")
PARTS = {"train": "train", "test": "t10k"}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, no SNLJAX_DATA, and addresses that lead nowhere."""
    monkeypatch.delenv("SNLJAX_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    for name, archive in downloads.ARCHIVES.items():
        monkeypatch.setitem(downloads.ARCHIVES, name, archive._replace(url="http://127.0.0.1:9/"))
    return tmp_path / "cache" / "snljax"


def check(found, expected, labels, classes, source):
    chex.assert_shape(found.images, expected.shape)
    chex.assert_shape(found.labels, (len(expected),))
    chex.assert_type([found.images, found.labels], [np.uint8, np.int64])
    np.testing.assert_array_equal(found.images, expected)
    np.testing.assert_array_equal(found.labels, labels)
    assert (found.classes, found.source) == (tuple(classes), str(source))
    assert found.images.flags.c_contiguous
    assert found.images.flags.writeable


def random_images(n, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


# --- IDX --------------------------------------------------------------------------------------------------


def idx_bytes(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + bytes(array.ravel().tolist())


def write_idx(folder, gz=False, dotted=False, seed=0, n=12):
    """n training and n - 1 test images of 5 by 4 pixels; all ten classes in each."""
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for i, (split, part) in enumerate(PARTS.items()):
        pixels, labels = random_images(n - i, (5, 4), seed + i), (np.arange(n - i) * 3 + i) % 10
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            name = f"{part}-{kind.replace('-', '.') if dotted else kind}-ubyte"
            content = idx_bytes(array)
            (folder / f"{name}{'.gz' if gz else ''}").write_bytes(gzip.compress(content) if gz else content)
        out[split] = (pixels[..., None], labels)
    return out


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx(tmp_path, name, gz, dotted):
    data = write_idx(tmp_path, gz, dotted)
    classes = {"mnist": "0123456789", "fashion_mnist": image_files.CLASSES["fashion_mnist"]}[name]
    for split in ("train", "test"):
        check(images.load(name, split, folder=tmp_path), *data[split], classes, tmp_path)
    both = [np.concatenate([data["train"][i], data["test"][i]]) for i in range(2)]
    check(images.load(name, "all", folder=str(tmp_path)), *both, classes, tmp_path)


def test_at_hand_is_what_loads_without_a_download(tmp_path, monkeypatch, cache):
    assert images.at_hand("digits")
    assert not images.at_hand("mnist")
    monkeypatch.setenv("SNLJAX_DATA", str(tmp_path))
    assert not images.at_hand("mnist")
    write_idx(tmp_path / "mnist")
    assert images.at_hand("mnist")
    assert not images.at_hand("fashion_mnist")
    write_idx(cache / "fashion_mnist")
    assert images.at_hand("fashion_mnist")
    monkeypatch.setenv("SNLJAX_DATA", str(tmp_path / "nowhere"))
    assert not images.at_hand("mnist")
    assert len(images.load("fashion_mnist", download=False, folder=cache).labels) == 12


def test_classes_of_fashion_mnist():
    assert [image_files.CLASSES["fashion_mnist"][k] for k in (0, 5, 9)] == ["T-shirt/top", "Sandal", "Ankle boot"]
    assert all(len(set(image_files.CLASSES[name])) == 10 for name in ("mnist", "fashion_mnist", "cifar10"))


def test_resized_official_images(tmp_path):
    """To (height, width), as the mean of the pixels that make up a new one."""
    pixels = np.repeat(np.arange(10, dtype=np.uint8)[:, None, None], 4, 2).repeat(2, 1)
    pixels[:, :, 2:] += 100
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(10)))
    found = images.load("mnist", folder=tmp_path, size=(3, 1))
    chex.assert_shape(found.images, (10, 3, 1, 1))
    chex.assert_type(found.images, np.uint8)
    np.testing.assert_array_equal(found.images[:, :, 0, 0], np.repeat(np.arange(10)[:, None] + 50, 3, 1))


def rewrite(file, change):
    """A step that changes the bytes of a file."""

    def step(folder):
        (folder / file).write_bytes(change((folder / file).read_bytes()))

    return step


TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("gz", "spoil", "texts"),
    [
        (False, rewrite(TRAIN, lambda b: b"\0\0\x08\x01" + b[4:]), [TRAIN, "magic number 2049", "allowed: 2051"]),
        (False, rewrite(LABELS, lambda b: b"\0\0\x0d\x01" + b[4:]), [LABELS, "magic number 3329", "allowed: 2049"]),
        (False, rewrite(TRAIN, lambda b: b[:-1]), [TRAIN, "255 bytes", "too short", "allowed: 256", "[12, 5, 4]"]),
        (False, rewrite(TRAIN, lambda b: b + b"\0"), [TRAIN, "257 bytes", "too long", "allowed: 256"]),
        (False, rewrite(TRAIN, lambda b: b[:15]), [TRAIN, "15 bytes", "allowed: 16"]),
        (False, rewrite(LABELS, lambda b: b""), [LABELS, "0 bytes", "allowed: 8"]),
        (False, rewrite(LABELS, lambda b: idx_bytes(np.arange(10))), [TRAIN, LABELS, "12 images and 10 labels"]),
        (False, rewrite(LABELS, lambda b: b[:-1] + b"\x0a"), [LABELS, "label 10", "allowed: 0 to 9"]),
        (
            False,
            rewrite(LABELS, lambda b: b[:8] + b[8:].replace(b"\3", b"\4")),
            ["class 3 ('3') has no images in ", LABELS],
        ),
        (False, lambda f: (f / LABELS).unlink(), [LABELS, "missing", f"all of {TRAIN}, {LABELS}"]),
        (False, lambda f: (f / TRAIN).unlink(), [f"{TRAIN}: missing"]),
        (True, rewrite(f"{TRAIN}.gz", lambda b: b[:-9]), [f"{TRAIN}.gz", "cannot be read", "EOFError"]),
        (True, rewrite(f"{TRAIN}.gz", gzip.decompress), [f"{TRAIN}.gz", "cannot be read", "BadGzipFile"]),
        (
            True,
            rewrite(f"{TRAIN}.gz", lambda b: b[:10] + b"\xff" + b[11:]),  # no such block in a zlib stream
            [f"{TRAIN}.gz", "cannot be read", "invalid block"],
        ),
    ],
)
def test_spoilt_idx(tmp_path, one_line, gz, spoil, texts):
    write_idx(tmp_path, gz)
    spoil(tmp_path)
    one_line(lambda: images.load("mnist", folder=tmp_path), str(tmp_path), *texts)
    images.load("mnist", "test", folder=tmp_path)


def test_a_split_alone(tmp_path, one_line):
    """A set of which there is only one half serves for that half."""
    data = write_idx(tmp_path)
    for file in (TRAIN, LABELS):
        (tmp_path / file).unlink()
    check(images.load("mnist", "test", folder=tmp_path), *data["test"], "0123456789", tmp_path)
    one_line(lambda: images.load("mnist", "all", folder=tmp_path), f"{tmp_path / TRAIN}: missing")


def test_splits_of_unequal_shape(tmp_path, one_line):
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((11, 4, 5), int)))
    one_line(lambda: images.load("mnist", "all", folder=tmp_path), str(tmp_path), "(5, 4, 1) and (4, 5, 1)")


# --- CIFAR ------------------------------------------------------------------------------------------------


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 wrote: bytes as str, NumPy's old name, flags of a dtype as 0 and 1."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        value = value.encode() if isinstance(value, str) else value
        head = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        self.write(head + value)

    dispatch[bytes] = dispatch[str] = save_text

    def reducer_override(self, value):
        if not isinstance(value, np.dtype):
            return NotImplemented
        function, arguments, state = value.__reduce__()
        return function, (arguments[0], 0, 1), state


def python2(value):
    Python2Pickler(file := io.BytesIO(), 2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def rows_of(pixels):
    return np.stack([np.concatenate([image[:, :, c].ravel() for c in range(3)]) for image in pixels])


def cifar10(seed=0):
    """Batch name -> images and labels; each class once or twice in the five training batches."""
    out = {}
    for i, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        n = 10 if name == "test_batch" else 3
        out[name] = (random_images(n, (32, 32, 3), seed + i), (np.arange(n) + 3 * i) % 10)
    return out


def joined(batches, split):
    parts = [part for name, part in batches.items() if split == "all" or name.startswith("test") == (split == "test")]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


NAMES = [f"name {k}" for k in range(10)]


def write_pickles(folder, dump=python2, meta=True):
    folder.mkdir(parents=True, exist_ok=True)
    batches = cifar10()
    for name, (pixels, labels) in batches.items():
        content = {b"batch_label": b"some", b"labels": labels.tolist(), b"data": rows_of(pixels), b"filenames": []}
        (folder / name).write_bytes(dump(content))
    if meta:
        (folder / "batches.meta").write_bytes(dump({b"label_names": [n.encode() for n in NAMES], b"num_vis": 3072}))
    return batches


@pytest.mark.parametrize(
    "dump",
    [
        python2,
        lambda value: pickle.dumps(value, 2),
        lambda value: pickle.dumps({k.decode(): v for k, v in value.items()}, 5),
    ],
)
def test_cifar10_pickles(tmp_path, dump):
    batches = write_pickles(tmp_path, dump)
    for split in ("train", "test", "all"):
        check(images.load("cifar10", split, folder=tmp_path), *joined(batches, split), NAMES, tmp_path)


def test_pickles_of_python_2():
    """The writer above makes what the official files hold."""
    content = python2({b"data": np.zeros((1, 2), np.uint8), b"labels": [1]})
    assert content.startswith(b"\x80\x02}")
    assert b"U\x04data" in content
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
    assert b"_core" not in content
    assert b"_codecs" not in content
    assert b"cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87" in content


def test_cifar10_without_names(tmp_path):
    write_pickles(tmp_path, meta=False)
    classes = images.load("cifar10", folder=tmp_path).classes
    assert classes == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )


def write_binary(folder, meta=True):
    folder.mkdir(parents=True, exist_ok=True)
    batches = cifar10()
    for name, (pixels, labels) in batches.items():
        content = b"".join(bytes([k]) + row.tobytes() for k, row in zip(labels, rows_of(pixels), strict=True))
        (folder / f"{name}.bin").write_bytes(content)
    if meta:
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return batches


def test_cifar10_binary(tmp_path):
    batches = write_binary(tmp_path)
    for split in ("train", "test", "all"):
        check(images.load("cifar10", split, folder=tmp_path), *joined(batches, split), NAMES, tmp_path)
    (tmp_path / "batches.meta.txt").unlink()
    assert images.load("cifar10", folder=tmp_path).classes[3] == "cat"


def write_cifar100(folder, binary, n):
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for i, split in enumerate(("train", "test")):
        pixels, fine = random_images(n + i, (32, 32, 3), i), np.arange(n + i) % n
        coarse = (7 * fine + 1) % 20
        if binary:
            records = zip(coarse, fine, rows_of(pixels), strict=True)
            content = b"".join(bytes([a, b]) + row.tobytes() for a, b, row in records)
            (folder / f"{split}.bin").write_bytes(content)
        else:
            names = {b"coarse_labels": coarse.tolist(), b"fine_labels": fine.tolist(), b"data": rows_of(pixels)}
            (folder / split).write_bytes(python2(names))
        out[split] = (pixels, fine)
    return out


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100(tmp_path, binary):
    data = write_cifar100(tmp_path, binary, 4)
    names = ["apple", "baby", "bear", "train"]
    if binary:
        (tmp_path / "fine_label_names.txt").write_text("\r\n".join(names))
        (tmp_path / "coarse_label_names.txt").write_text("one\ntwo\n")
    else:
        meta = {b"fine_label_names": [n.encode() for n in names], b"coarse_label_names": [b"one", b"two"]}
        (tmp_path / "meta").write_bytes(python2(meta))
    for split in ("train", "test"):
        check(images.load("cifar100", split, folder=tmp_path), *data[split], names, tmp_path)


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100_without_names(tmp_path, one_line, binary):
    data = write_cifar100(tmp_path, binary, 100)
    check(images.load("cifar100", folder=tmp_path), *data["train"], [str(k) for k in range(100)], tmp_path)
    write_cifar100(tmp_path, binary, 99)
    one_line(lambda: images.load("cifar100", folder=tmp_path), "class 99 ('99') has no images in")


class MakesFolder:
    """A pickle that makes a folder when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("file", ["data_batch_4", "batches.meta"])
def test_a_pickle_can_call_nothing(tmp_path, one_line, file):
    write_pickles(tmp_path)
    content = pickle.dumps({b"data": MakesFolder(tmp_path / "made")}, 2)
    (tmp_path / file).write_bytes(content)
    asked = f"it asks for {os.mkdir.__module__}.mkdir"
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path / file), "cannot be unpickled", asked)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)
    assert (tmp_path / "made").exists()  # so it would have been made


@pytest.mark.parametrize(
    "asked",
    ["builtins eval", "numpy.core.multiarray scalar", "numpy._core.numeric _frombuffer.__globals__", "os system"],
)
def test_names_that_a_pickle_may_not_use(tmp_path, one_line, asked):
    write_pickles(tmp_path)
    (tmp_path / "test_batch").write_bytes(f"c{asked.replace(' ', chr(10))}\n.".encode())
    text = asked.replace(".core", "._core").replace(" ", ".")
    one_line(lambda: images.load("cifar10", "test", folder=tmp_path), "test_batch", f"it asks for {text}")


ENDS = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"  # no subarray, names and fields; sizes unset; no flags


def dtype_program(code=b"u1", order=b"|", ends=ENDS, flags=b"K\x00K\x01", version=b"K\x03"):
    head = b"cnumpy\ndtype\n" + text_program(code) + flags + b"\x87R"
    return head + b"(" + version + text_program(order) + ends + b"tb"


def text_program(text):
    return b"U" + bytes([len(text)]) + text


def array_program(dtype=None, shape=b"K\x02K\x03\x86", start=b"K\x00\x85", data=b"abcdef", kind=b"numpy\nndarray"):
    """Opcodes of Python 2 for an array, by default the bytes abcdef in shape (2, 3)."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\nc" + kind + b"\n" + start + b"U\x01b\x87R"
    return empty + b"(K\x01" + shape + (dtype or dtype_program()) + b"\x89" + text_program(data) + b"tb"


def add_program(folder, program):
    """Write the pickles; the test batch has one more entry, under a key that nobody asks for."""
    batches = write_pickles(folder)
    whole = (folder / "test_batch").read_bytes()
    (folder / "test_batch").write_bytes(whole[:-1] + b"U\x05other" + program + b"s.")
    return batches


# What to add, and what the reader makes of it.
HARMLESS = {
    "an array": (array_program(), np.frombuffer(b"abcdef", "u1").reshape(2, 3)),
    "its other order": (
        array_program(dtype_program(b"i2", b">"), b"K\x03\x85"),
        np.array([0x6162, 0x6364, 0x6566]),
    ),
    "no elements": (array_program(shape=b"K\x00K\x03\x86", data=b""), np.zeros((0, 3), "u1")),
    "a dtype in the memo": (array_program(dtype_program() + b"r\xff\xff\xff\xff"), np.frombuffer(b"abcdef", "u1")),
    "a list in itself": (b"]q\x63h\x63a", None),
    "a memo index of 2^32 - 1": (b"Nr\xff\xff\xff\xff", None),
    "deep tuples": (b")" + b"\x85" * 50_000, None),
    "deep lists": (b"]" * 50_000 + b"a" * 49_999, None),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_pickles_with_more_than_is_needed(tmp_path, name):
    """They are read, and nothing is reserved that is larger than the file by more than objects are."""
    program, expected = HARMLESS[name]
    batches = add_program(tmp_path, program)
    tracemalloc.start()
    found = pickles.dictionary((tmp_path / "test_batch").read_bytes(), "test_batch")["other"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * (tmp_path / "test_batch").stat().st_size
    if expected is not None:
        np.testing.assert_array_equal(found, expected.reshape(found.shape))
    check(images.load("cifar10", "test", folder=tmp_path), *joined(batches, "test"), NAMES, tmp_path)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", ["O", "V4", "S3", "U2", "M8[s]", "m8[s]", "c8", "i4,f4", "(2,)i4,i4"])
def test_arrays_of_anything_but_numbers(tmp_path, one_line, kind, protocol):
    write_pickles(tmp_path)
    content = pickle.loads((tmp_path / "test_batch").read_bytes(), encoding="bytes")
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content | {b"other": np.zeros(2, kind)}, protocol))
    one_line(lambda: images.load("cifar10", "test", folder=tmp_path), "test_batch: cannot be unpickled")


ENCODE = b"c_codecs\nencode\n"
LONG_TEXT = b"X\x00\x00\x02\x00" + b"a" * 2**17
HOSTILE = {
    "objects over bytes": array_program(dtype_program(b"O8"), data=b"\x01" * 48),
    "objects whose flag is taken away": array_program(dtype_program(b"O8", ends=ENDS[:-1] + b"\x00"), b"K\x01\x85"),
    "a dtype with the flags of objects": array_program(dtype_program(ends=ENDS[:-1] + b"\x3f")),
    "a dtype with a subarray": array_program(
        dtype_program(b"V6", ends=b"cnumpy\ndtype\nU\x01O\x85RK\x02\x86" + ENDS[1:])
    ),
    "a dtype with fields": array_program(dtype_program(ends=b"NU\x01a\x85}" + ENDS[3:])),
    "a dtype with sizes": array_program(dtype_program(ends=b"NNNJ\xff\xff\x00\x00K\x01K\x00")),
    "another version of a dtype": array_program(dtype_program(version=b"K\x04")),
    "a dtype's flag": array_program(dtype_program(flags=b"K\x01K\x01")),
    "no such number": array_program(dtype_program(b"i3")),
    "no such dtype": array_program(dtype_program(b"u1,O")),
    "a byte order that is none": array_program(dtype_program(b"i2", b"^"), b"K\x03\x85"),
    "no byte order": array_program(dtype_program(b"i2", b""), b"K\x03\x85"),
    "two byte orders": array_program(dtype_program(b"i2", b"<>"), b"K\x03\x85"),
    "a byte order of bytes": array_program(dtype_program(order=b"<")),
    "a dtype that is not finished": array_program(b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"),
    "a dtype that is finished twice": dtype_program() + b"(K\x03U\x01|" + ENDS + b"tb",
    "no dtype": array_program(b"U\x02u1"),
    "a shape larger than the bytes": array_program(shape=b"K\x02K\x04\x86"),
    "a shape smaller than the bytes": array_program(shape=b"K\x02K\x02\x86"),
    "a huge shape": array_program(shape=b"J\xff\xff\xff\x7f" * 2 + b"\x86"),
    "a shape whose size overflows to 6": array_program(shape=b"\x8a\x09" + (2**64 + 6).to_bytes(9, "little") + b"\x85"),
    "a huge shape of no elements": array_program(
        shape=b"K\x00" + 2 * (b"\x8a\x08" + b"\xff" * 7 + b"\x7f") + b"\x87", data=b""
    ),
    "a negative shape": array_program(shape=b"J\xfe\xff\xff\xffJ\xfd\xff\xff\xff\x86"),
    "a shape of flags": array_program(shape=b"\x88K\x06\x86"),
    "a shape of fractions": array_program(shape=b"G" + struct.pack(">d", 6) + b"\x85"),
    "a shape that is a list": array_program(shape=b"]K\x06a"),
    "40 axes": array_program(shape=b"(" + b"K\x01" * 40 + b"t", data=b"a"),
    "an array that is large at once": array_program(start=b"J\x00\x00\x00\x01\x85"),
    "an array that is something else": array_program(kind=b"numpy\ndtype"),
    "a buffer of objects": b"cnumpy.core.numeric\n_frombuffer\n("
    + b"U\x08"
    + b"\x01" * 8
    + dtype_program(b"O8")
    + b"K\x01\x85X\x01\0\0\0CtR",
    "a buffer that is too short": b"cnumpy._core.numeric\n_frombuffer\n(U\x01a"
    + dtype_program()
    + b"K\x02\x85X\x01\0\0\0CtR",
    "an array from nowhere": b"cnumpy\nndarray\nK\x06\x85\x85R",
    "another encoding": ENCODE + b"X\x01\0\0\0aX\x05\0\0\0utf-8\x86R",
    "encoded bytes": ENCODE + b"U\x01aX\x03\0\0\0hex\x86R",
    "one text many times": b"]("
    + ENCODE
    + b"q\x60"
    + LONG_TEXT
    + b"X\x06\0\0\0latin1\x86q\x61R"
    + b"h\x60h\x61R" * 50
    + b"e",
    "text that is called": b"U\x01a)R",
    "a dtype that is called": dtype_program() + b")R",
    "a call without arguments": b"cnumpy\ndtype\nNR",
    "a dictionary with a state": b"})b",
    "a name with a state": b"cnumpy\nndarray\n}b",
    "deep tuples as a key": b"})" + b"\x85" * 300_000 + b"Ns",
    "an array as a key": b"}" + array_program() + b"Ns",
    "a key without a value": b"}(U\x01au",
    "items of a tuple": b")(NNu",
    "a set": b"\x8f",
    "an object": b"cnumpy\nndarray\nK\x06\x85\x85\x81",
    "an instance": b"(inumpy\nndarray\n",
    "a persistent id": b"Pa\n",
    "an extension": b"\x82\x01",
    "a buffer outside": b"\x97",
    "no such opcode": b"\xff",
    "a memo that was not set": b"h\xf0",
    "no such group": b"e",
    "a group that stays open": b"N(",
    "more than one value": b"NN",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, one_line, name):
    add_program(tmp_path, HOSTILE[name])
    one_line(lambda: images.load("cifar10", "test", folder=tmp_path), "test_batch: cannot be unpickled")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\x80\x02s.", "its stack runs empty"),
        (b"\x80\x02}(s.", "its stack runs empty"),
        (b"\x80\x02}N.", "left over"),
        (b"\x80\x02}.}", "left over"),
        (b"\x80\x06}.", "it uses PROTO"),
        (b"\x80\x04\x95" + struct.pack("<Q", 9) + b"}.", "it uses FRAME"),
        (b"\x8e" + struct.pack("<Q", 2**62) + b"a.", "ValueError"),
        (b"}U\x01\xffNs.", "UnicodeDecodeError"),
    ],
)
def test_pickles_that_are_damaged(tmp_path, one_line, content, text):
    write_pickles(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    one_line(lambda: images.load("cifar10", "test", folder=tmp_path), "test_batch: cannot be unpickled", text)


def test_the_pickle_machine_is_not_used(tmp_path, monkeypatch):
    batches = write_pickles(tmp_path)

    def used(*args, **kwargs):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, used)
    check(images.load("cifar10", "test", folder=tmp_path), *joined(batches, "test"), NAMES, tmp_path)
    values = [*vars(image_files).values(), *vars(pickles).values()]
    assert not [v for v in values if v is pickle or getattr(v, "__base__", None) is _pickle.Unpickler]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_other_layouts(tmp_path, protocol):
    """Fortran's order, the other byte order, labels as an array, read-only, in every protocol of Python 3."""
    batches = write_pickles(tmp_path)
    pixels, labels = batches["test_batch"]
    rows, labels = np.asfortranarray(rows_of(pixels)), labels.astype(">i4")
    labels.flags.writeable = False
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": rows, "labels": labels}, protocol))
    check(images.load("cifar10", "test", folder=tmp_path), *joined(batches, "test"), NAMES, tmp_path)


def mutated(content, rng):
    """One to three bytes changed, left out or put in, or the end cut off."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, kind = int(rng.integers(len(content))), rng.integers(10)
        if kind < 6:
            content[at] = rng.integers(256)
        elif kind < 8:
            content.insert(at, rng.choice(list(b"Nh\x85\x86Rb(t.K\x00q}]se")))
        elif kind < 9 and at:
            del content[at]
        elif at:
            del content[at:]
    return bytes(content)


@pytest.mark.parametrize("dump", [python2, lambda value: pickle.dumps(value, 2), lambda value: pickle.dumps(value, 5)])
def test_mutated_pickles(tmp_path, dump):
    """Each is refused, or read as `pickle` reads it, which then calls nothing else either."""
    value = {
        b"data": np.arange(6, dtype=np.uint8).reshape(2, 3),
        b"labels": [1, 300, -1, 2**40],
        b"rest": (0.5, None, b"x"),
    }
    rng, whole, file, refused = np.random.default_rng(0), dump(value), tmp_path / "file", []
    for _ in range(500):
        content = mutated(whole, rng)
        file.write_bytes(content)
        try:
            found = pickles.dictionary(file.read_bytes(), str(file))
        except ValueError as error:
            refused.append(str(error))
            continue
        if any(opcode.name == "LONG_BINPUT" for opcode, _, _ in pickletools.genops(content)):
            continue  # `pickle` itself would reserve memory for all the indices up to that one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 2's flags of a dtype
            expected = pickle.loads(content, encoding="bytes")
        assert list(found) == [k.decode() if isinstance(k, bytes) else str(k) for k in expected]
        for a, b in zip(found.values(), expected.values(), strict=True):
            if isinstance(a, np.ndarray):
                assert (a.dtype, a.shape) == (b.dtype, b.shape)
                assert a.dtype.kind in "biuf"
                np.testing.assert_array_equal(a, b)
            elif not any(name in repr(a) for name in ("Name(", "Dtype(", "Array(")):  # inside a list, nobody's
                assert repr(a) == repr(b)
    assert 0 < len(refused) < 500
    assert all(text.startswith(f"{file}: cannot be unpickled") and "\n" not in text for text in refused)


def redump(**changes):
    """A step that changes entries of the third batch; None removes one."""

    def step(folder):
        content = pickle.loads((folder / "data_batch_3").read_bytes(), encoding="bytes")
        content |= {k.encode(): v for k, v in changes.items()}
        kept = {k: v for k, v in content.items() if v is not None}
        (folder / "data_batch_3").write_bytes(pickle.dumps(kept, 2))

    return step


@pytest.mark.parametrize(
    ("spoil", "texts"),
    [
        (lambda f: (f / "data_batch_3").unlink(), ["data_batch_3: missing", "data_batch_1, data_batch_2"]),
        (rewrite("data_batch_3", lambda b: b[:-40]), ["data_batch_3: cannot be unpickled"]),
        (rewrite("data_batch_3", lambda b: b""), ["data_batch_3: cannot be unpickled", "EOFError"]),
        (rewrite("data_batch_3", lambda b: b"\x00junk"), ["data_batch_3: cannot be unpickled"]),
        (rewrite("data_batch_3", lambda b: pickle.dumps([1])), ["data_batch_3: cannot be unpickled"]),
        (redump(data=None), ["data_batch_3: no images under 'data'", "(n, 3072)"]),
        (redump(data=np.zeros((3, 3071), np.uint8)), ["data_batch_3: no images under 'data'"]),
        (redump(data=np.zeros((3, 3072))), ["data_batch_3: no images under 'data'"]),
        (redump(labels=None), ["data_batch_3: no labels under 'labels'"]),
        (redump(labels=[0.5, 1, 2]), ["data_batch_3: no labels under 'labels'"]),
        (redump(labels=np.array(1)), ["data_batch_3: no labels under 'labels'"]),
        (redump(labels=np.ones((3, 1), int)), ["data_batch_3: no labels under 'labels'"]),
        (redump(labels=[1, 2, 2**63]), ["data_batch_3: no labels under 'labels'"]),
        (redump(labels=[1, 2]), ["data_batch_3: 3 images and 2 labels"]),
        (redump(labels=[1, 2, 10]), ["data_batch_3: label 10", "allowed: 0 to 9"]),
        (redump(labels=[1, 2, -1]), ["data_batch_3: label -1", "allowed: 0 to 9"]),
        (redump(labels=[6, 8, 8]), ["class 7 ('name 7') has no images in "]),
        (lambda f: (f / "batches.meta").write_bytes(b"x"), ["batches.meta: cannot be unpickled"]),
        (lambda f: (f / "batches.meta").write_bytes(pickle.dumps({})), ["batches.meta: no names of classes"]),
    ],
)
def test_spoilt_pickles(tmp_path, one_line, spoil, texts):
    write_pickles(tmp_path)
    spoil(tmp_path)
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path), *texts)


@pytest.mark.parametrize(
    ("spoil", "texts"),
    [
        (lambda f: (f / "data_batch_2.bin").unlink(), ["data_batch_2.bin: missing", "data_batch_1.bin"]),
        (rewrite("data_batch_2.bin", lambda b: b[:-1]), ["data_batch_2.bin: 9218 bytes", "a multiple of 3073"]),
        (rewrite("data_batch_2.bin", lambda b: b"\x0a" + b[1:]), ["data_batch_2.bin: label 10", "0 to 9"]),
    ],
)
def test_spoilt_binary_files(tmp_path, one_line, spoil, texts):
    write_binary(tmp_path)
    spoil(tmp_path)
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path), *texts)


# --- Packed -----------------------------------------------------------------------------------------------


def encoded(array, form="jpeg"):
    Image.fromarray(array).save(file := io.BytesIO(), form)
    return file.getvalue()


def pack(files, labels, classes=("cat", "dog")):
    return {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offset": np.cumsum([0, *map(len, files)]),
        "label": np.array(labels, np.uint8),
        "classes": np.array(classes),
    }


def packed_set(shape=(6, 9, 3), seed=0):
    return [encoded(a) for a in random_images(4, shape, seed)], [1, 0, 0, 1]


@pytest.mark.parametrize("shape", [(6, 9, 3), (6, 9)])
def test_packed(tmp_path, shape):
    for seed, split in enumerate(("train", "test")):
        files, labels = packed_set(shape, seed)
        np.savez(tmp_path / f"{split}.npz", **pack(files, labels))
        expected = np.stack([np.asarray(Image.open(io.BytesIO(f))) for f in files]).reshape(4, 6, 9, -1)
        check(images.load("cifar10", split, folder=tmp_path), expected, labels, ("cat", "dog"), tmp_path)
    chex.assert_shape(images.load("cifar10", "all", folder=tmp_path, size=[2, 3]).images, (8, 2, 3, expected.shape[-1]))


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda p, f: p | {"jpeg": p["jpeg"][:0], "offset": p["offset"] * 0}, ["image 0", "unreadable image"]),
        (lambda p, f: pack([*f[:3], f[3][:60]], [1, 0, 0, 1]), ["image 3", "unreadable image"]),
        (lambda p, f: pack([f[0], f[1][:-50], *f[2:]], [1, 0, 0, 1]), ["image 1", "unreadable image", "truncated"]),
        (
            lambda p, f: pack([*f[:3], encoded(np.zeros((6, 8, 3), "u1"))], [1, 0, 0, 1]),
            ["image 3", "(6, 8)", "(6, 9)"],
        ),
        (lambda p, f: p | {"offset": p["offset"][:-1]}, ["offset does not divide jpeg"]),
        (lambda p, f: p | {"offset": np.r_[1, p["offset"][1:]]}, ["offset does not divide jpeg"]),
        (lambda p, f: p | {"offset": p["offset"][[0, 2, 1, 3, 4]].astype("u8")}, ["offset does not divide jpeg"]),
        (lambda p, f: p | {"offset": p["offset"] * 1.0}, ["arrays of another kind"]),
        (lambda p, f: p | {"label": p["label"] * 0.5}, ["arrays of another kind"]),
        (lambda p, f: p | {"label": p["label"][:, None]}, ["arrays of another kind"]),
        (lambda p, f: p | {"jpeg": p["jpeg"].astype("i4")}, ["arrays of another kind"]),
        (lambda p, f: p | {"offset": p["offset"][:0]}, ["arrays of another kind"]),
        (lambda p, f: p | {"label": p["label"][:3]}, ["4 images and 3 labels"]),
        (lambda p, f: p | {"label": p["label"] + 1}, ["label 2", "allowed: 0 to 1"]),
        (lambda p, f: p | {"label": p["label"] * 0}, ["class 1 ('dog') has no images in", "train.npz"]),
        (lambda p, f: {k: v for k, v in p.items() if k != "offset"}, ["cannot be read", "offset"]),
        (lambda p, f: p | {"label": np.array([MakesFolder("never")] * 4)}, ["cannot be read", "allow_pickle"]),
    ],
)
def test_spoilt_packed(tmp_path, one_line, change, texts):
    files, labels = packed_set()
    np.savez(tmp_path / "train.npz", **change(pack(files, labels), files))
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path / "train.npz"), *texts)


def test_packed_halves_that_do_not_fit(tmp_path, one_line):
    np.savez(tmp_path / "train.npz", **pack(*packed_set()))
    one_line(lambda: images.load("cifar10", "test", folder=tmp_path), f"{tmp_path / 'test.npz'}: missing")
    np.savez(tmp_path / "test.npz", **pack(*packed_set(), classes=("dog", "cat")))
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path / "test.npz"), "other classes")
    (tmp_path / "test.npz").write_bytes((tmp_path / "train.npz").read_bytes()[:-30])
    one_line(lambda: images.load("cifar10", folder=tmp_path), str(tmp_path / "test.npz"), "cannot be read")


# --- Folders of pictures ----------------------------------------------------------------------------------


def flat(path, colour, shape=(3, 5), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, shape[::-1], colour).save(path, **options)


def values(found):
    """The flat colour of each image."""
    assert (found.images == found.images[:, :1, :1]).all()
    return found.images[:, 0, 0].squeeze(-1).tolist() if found.images.shape[-1] == 1 else found.images[:, 0, 0].tolist()


def grey_folder(root, counts=(7, 11)):
    for k, count in enumerate(counts):
        for i in range(count):
            flat(root / "ba"[k] / f"{i:02}.png", 100 * k + i, mode="L")
    return root


def test_a_folder_of_pictures(tmp_path):
    """Classes and files in the order of their names; each class's every fifth image is for the test."""
    grey_folder(tmp_path)  # b is the first class that is written, a the first by name
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "doc.pdf").write_text("Pillow writes but does not read this")
    (tmp_path / "a" / ".hidden.png").write_text("no image")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / ".hidden").mkdir()
    parts = {split: images.load(tmp_path, split) for split in images.SPLITS}
    assert values(parts["test"]) == [104, 109, 4]
    assert parts["test"].labels.tolist() == [0, 0, 1]
    assert values(parts["train"]) == [*(100 + i for i in range(11) if i not in (4, 9)), 0, 1, 2, 3, 5, 6]
    assert values(parts["all"]) == values(parts["train"]) + values(parts["test"])
    assert parts["all"].labels.tolist() == [0] * 9 + [1] * 6 + [0, 0, 1]
    chex.assert_shape(parts["all"].images, (18, 3, 5, 1))
    chex.assert_type([parts["all"].images, parts["all"].labels], [np.uint8, np.int64])
    assert {(p.classes, p.source) for p in parts.values()} == {(("a", "b"), str(tmp_path))}
    assert images.load(str(tmp_path), "test").labels.tolist() == [0, 0, 1]


def test_a_folder_with_train_and_test(tmp_path):
    grey_folder(tmp_path / "train", (1, 2))
    grey_folder(tmp_path / "test", (2, 1))
    (tmp_path / "other" / "a").mkdir(parents=True)
    assert values(images.load(tmp_path)) == [100, 101, 0]
    assert values(images.load(tmp_path, "test")) == [100, 0, 1]
    both = images.load(tmp_path, "all")
    assert (values(both), both.labels.tolist()) == ([100, 101, 0, 100, 0, 1], [0, 0, 1, 0, 1, 1])


def test_train_may_be_a_class(tmp_path):
    for k, name in enumerate(("bus", "train")):
        flat(tmp_path / name / "0.png", k, mode="L")
    assert images.load(tmp_path).classes == ("bus", "train")


def test_colours(tmp_path):
    """Grey only if all are, in both splits; transparency is left out."""
    for i in range(5):
        flat(tmp_path / "a" / f"{i}.png", 50 + i, mode="L")
    flat(tmp_path / "a" / "1.png", 1, mode="1")
    assert values(images.load(tmp_path, "all", size=None)) == [50, 255, 52, 53, 54]
    flat(tmp_path / "a" / "4.png", (10, 20, 30))  # a test image
    assert values(images.load(tmp_path))[0] == [50, 50, 50]
    flat(tmp_path / "a" / "0.png", (1, 2, 3, 0), mode="RGBA")
    palette = Image.new("P", (5, 3), 1)
    palette.putpalette([0, 0, 0, 7, 8, 9])
    palette.save(tmp_path / "a" / "2.png", transparency=b"\x00\x80")
    flat(tmp_path / "a" / "3.JPG", (200, 100, 0), quality=100)
    (tmp_path / "a" / "3.png").unlink()
    found = images.load(tmp_path, "all")
    chex.assert_shape(found.images, (5, 3, 5, 3))
    assert values(found)[:3] == [[1, 2, 3], [255, 255, 255], [7, 8, 9]]
    np.testing.assert_allclose(values(found)[3], [200, 100, 0], atol=2)
    assert values(found)[4] == [10, 20, 30]


def test_pictures_of_unequal_size(tmp_path, one_line):
    flat(tmp_path / "a" / "0.png", (10, 20, 30))
    flat(tmp_path / "b" / "0.png", (0, 0, 0), (5, 3))
    texts = [str(tmp_path / "b" / "0.png"), "(5, 3)", "(3, 5)", str(tmp_path / "a" / "0.png"), "size=(height, width)"]
    one_line(lambda: images.load(tmp_path), *texts)
    Image.fromarray(np.array([[0, 0, 100, 100]] * 2, "u1")).save(tmp_path / "b" / "0.png")
    found = images.load(tmp_path, size=(4, 2))
    chex.assert_shape(found.images, (2, 4, 2, 3))
    assert found.images[0, 0, 0].tolist() == [10, 20, 30]
    bilinear = Image.fromarray(np.array([[0, 0, 100, 100]] * 2, "u1")).resize((2, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found.images[1], np.repeat(np.asarray(bilinear)[..., None], 3, 2))


@pytest.mark.parametrize(
    ("spoil", "texts"),
    [
        (shutil.rmtree, ["no sub-folders"]),
        (lambda f: (f / "c").mkdir(), ["class c has no images"]),
        (lambda f: (f / "b" / "03.png").write_bytes(b"no image"), [os.path.join("b", "03.png"), "unreadable image"]),
        (rewrite("b/03.png", lambda b: b[:-25]), [os.path.join("b", "03.png"), "unreadable image"]),
        (lambda f: flat(f / "b" / "03.png", 1000, mode="I;16"), [os.path.join("b", "03.png"), "I;16", "8 bits"]),
        (lambda f: f.rename(f.with_name("test")), ["train: missing", "both train and test"]),
    ],
)
def test_spoilt_folders(tmp_path, one_line, spoil, texts):
    root = tmp_path / "root"
    inner = grey_folder(root / "sub")
    spoil(inner)
    where = inner if inner.is_dir() else root
    where.mkdir(exist_ok=True)
    one_line(lambda: images.load(where), str(where), *texts)


def test_train_and_test_with_other_classes(tmp_path, one_line):
    grey_folder(tmp_path / "train")
    grey_folder(tmp_path / "test")
    shutil.rmtree(tmp_path / "test" / "a")
    one_line(lambda: images.load(tmp_path), f"{tmp_path / 'test'}: class a is missing")
    flat(tmp_path / "test" / "a" / "0.png", 0)
    flat(tmp_path / "test" / "c" / "0.png", 0)
    one_line(lambda: images.load(tmp_path), f"{tmp_path / 'train'}: class c is missing")


def test_a_class_too_small_for_a_test(tmp_path, one_line):
    grey_folder(tmp_path, (4, 5))
    one_line(lambda: images.load(tmp_path, "test"), "class 1 ('b') has no images in", str(tmp_path), "split test")
    assert len(images.load(tmp_path).labels) == 8


# --- Digits, and what may be asked for --------------------------------------------------------------------


def test_digits():
    """Disjoint splits that make up the whole set of scikit-learn, stretched to 0..255."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    train, test, both = (images.load("digits", split) for split in images.SPLITS)
    chex.assert_shape([train.images, test.images, both.images], [(1442, 8, 8, 1), (355, 8, 8, 1), (1797, 8, 8, 1)])
    chex.assert_type([test.images, test.labels], [np.uint8, np.int64])
    assert (both.classes, both.source) == (tuple("0123456789"), "scikit-learn")
    assert set(np.unique(both.images)) == {round(i * 255 / 16) for i in range(17)}
    threes = np.flatnonzero(data.target == 3)
    expected = np.floor(data.images[threes[4::5]] * 255 / 16 + 0.5)
    np.testing.assert_array_equal(test.images[test.labels == 3][..., 0], expected)
    # Each image of the whole set lies in exactly one of the splits, with its label.
    key = [(k, a.tobytes()) for part in (train, test) for k, a in zip(part.labels, part.images, strict=True)]
    whole = np.round(data.images * 255 / 16).astype(np.uint8)
    assert sorted(key) == sorted((k, a.tobytes()) for k, a in zip(data.target, whole, strict=True))
    np.testing.assert_array_equal(both.images, np.concatenate([train.images, test.images]))


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"name": "mnits"}, ["'mnits'", "did you mean 'mnist'?", "digits, mnist, fashion_mnist, cifar10, cifar100"]),
        ({"name": "nowhere/at/all"}, ["'nowhere/at/all'", "a path"]),
        ({"split": "val"}, ["split: 'val'", "train, test, all"]),
        ({"size": (0, 3)}, ["size: (0, 3)", "(height, width)"]),
        ({"size": (3,)}, ["size: (3,)"]),
        ({"size": 3}, ["size: 3"]),
        ({"size": (3.5, 2)}, ["size: (3.5, 2)"]),
        ({"folder": "."}, ["folder: given with 'digits'", "mnist"]),
    ],
)
def test_bad_arguments(one_line, arguments, texts):
    one_line(lambda: images.load(**arguments), *texts)


@pytest.mark.parametrize(
    ("module", "name"),
    [("sklearn.datasets", "digits"), ("PIL.Image", "folder"), ("pooch", "mnist"), ("requests", "mnist")],
)
def test_missing_modules(monkeypatch, tmp_path, one_line, module, name):
    grey_folder(tmp_path / "pictures")
    monkeypatch.setitem(sys.modules, module, None)
    chosen = tmp_path / "pictures" if name == "folder" else name
    one_line(lambda: images.load(chosen), f"{module}: not installed", "pip install 'snljax[vision]'")


def test_files_at_hand_need_no_pooch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("SNLJAX_DATA", str(tmp_path))
    assert images.load("mnist").source == str(tmp_path / "mnist")


def test_imports_are_light():
    """NumPy, the standard library and this package at module level; JAX nowhere."""
    allowed = {*sys.stdlib_module_names, "numpy", "snljax"}
    for module in (images, image_files, pickles, downloads):
        tree = ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] == "jax" for n in names)
            assert node not in tree.body or {n.split(".")[0] for n in names} <= allowed


# --- Search -----------------------------------------------------------------------------------------------


def test_search_order(monkeypatch, tmp_path, cache, one_line):
    """The argument alone; else SNLJAX_DATA before the cache before the network."""
    argument, variable = tmp_path / "argument", tmp_path / "variable"
    data = {
        place: write_idx(place, seed=10 * i) for i, place in enumerate((argument, variable / "mnist", cache / "mnist"))
    }
    monkeypatch.setenv("SNLJAX_DATA", str(variable))
    check(images.load("mnist", folder=argument), *data[argument]["train"], "0123456789", argument)
    check(images.load("mnist"), *data[variable / "mnist"]["train"], "0123456789", variable / "mnist")
    shutil.rmtree(variable / "mnist")
    check(images.load("mnist"), *data[cache / "mnist"]["train"], "0123456789", cache / "mnist")
    for file in argument.iterdir():
        file.unlink()
    message = one_line(lambda: images.load("mnist", folder=argument), f"looked at {argument} and", "mnist, MNIST/raw")
    assert str(cache) not in message  # neither there nor in the network
    assert str(variable) not in message
    shutil.rmtree(cache)
    message = one_line(lambda: images.load("mnist"), "the download failed", "mnist, MNIST/raw", "127.0.0.1")
    assert message.index(f"SNLJAX_DATA ({variable})") < message.index(f"the cache ({cache})")
    shutil.rmtree(variable)
    one_line(lambda: images.load("mnist"), f"SNLJAX_DATA: {variable} is not a folder")
    monkeypatch.delenv("SNLJAX_DATA")
    one_line(lambda: images.load("mnist", download=False), "SNLJAX_DATA (not set)", str(cache), "download=False")


def test_a_folder_that_does_not_exist(tmp_path, one_line):
    one_line(lambda: images.load("mnist", folder=tmp_path / "no"), f"folder: {tmp_path / 'no'} is not a folder")


INNER = {
    "mnist": ["mnist", "MNIST/raw"],
    "fashion_mnist": ["fashion_mnist", "FashionMNIST/raw"],
    "cifar10": [
        *("cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"),
        *("cifar10/cifar-10-batches-py", "cifar10/cifar-10-batches-bin"),
    ],
    "cifar100": [
        *("cifar100", "cifar-100-python", "cifar-100-binary"),
        *("cifar100/cifar-100-python", "cifar100/cifar-100-binary"),
    ],
}


@pytest.mark.parametrize("name", INNER)
def test_named_sub_folders(monkeypatch, tmp_path, one_line, name):
    """Each of them is found, below an argument and below SNLJAX_DATA, and the earlier ones come first."""
    monkeypatch.setenv("SNLJAX_DATA", str(tmp_path))
    for inner in reversed(INNER[name]):
        place = tmp_path / inner
        if "mnist" in name:
            write_idx(place)
        elif name == "cifar10":
            (write_binary if place.name.endswith("bin") else write_pickles)(place)
        else:
            write_cifar100(place, place.name.endswith("binary"), 100)
        assert images.load(name, "test", folder=tmp_path).source == str(place)
        assert images.load(name, "test", download=False).source == str(place)


def test_sub_folders_are_named_in_the_environment(monkeypatch, tmp_path, one_line):
    """A data folder's own files may belong to any set; a folder given as an argument is meant."""
    write_idx(tmp_path)
    monkeypatch.setenv("SNLJAX_DATA", str(tmp_path))
    one_line(lambda: images.load("mnist", download=False), "not found")
    assert images.load("mnist", folder=tmp_path).source == str(tmp_path)


# --- Download ---------------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; notes each request with its range; breaks off a file after ``cut[name]`` bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.encodings, self.cut, self.ranges = {}, [], set(), {}, "kept"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, name, wanted = self.server, self.path.lstrip("/"), self.headers.get("Range")
        server.asked.append((name, wanted))
        server.encodings.add(self.headers.get("Accept-Encoding"))
        content, code = server.files.get(name), 200
        if content is None:
            return self.send_error(404)
        if wanted and server.ranges == "refused":
            return self.send_error(416)
        if wanted and server.ranges == "kept":
            content, code = content[int(wanted.removeprefix("bytes=").removesuffix("-")) :], 206
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: server.cut.get(name)])

    def log_message(self, *args):
        pass


def md5(content):
    return "md5:" + hashlib.md5(content).hexdigest()


def serve(server, monkeypatch, name, files):
    server.files |= files
    hashes = {file: md5(content) for file, content in files.items()}
    monkeypatch.setitem(downloads.ARCHIVES, name, downloads.ARCHIVES[name]._replace(url=server.url, files=hashes))


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mnist(server, monkeypatch, tmp_path):
    """A served MNIST, with files of images that come in several pieces; what it holds."""
    data = write_idx(tmp_path / "served", gz=True, n=15000)
    order = list(downloads.ARCHIVES["mnist"].files)
    assert sorted(order) == sorted(f.name for f in (tmp_path / "served").iterdir())
    serve(server, monkeypatch, "mnist", {file: (tmp_path / "served" / file).read_bytes() for file in order})
    return data


def test_download_once(server, mnist, cache):
    found = images.load("mnist")
    check(found, *mnist["train"], "0123456789", cache / "mnist")
    assert server.asked == [(file, None) for file in downloads.ARCHIVES["mnist"].files]
    assert server.encodings == {"identity"}
    assert [f.name for f in cache.iterdir()] == ["mnist"]
    assert sorted(f.name for f in (cache / "mnist").iterdir()) == sorted(server.files)
    server.asked.clear()
    check(images.load("mnist", "test"), *mnist["test"], "0123456789", cache / "mnist")
    assert server.asked == []


def test_no_download_unless_allowed(server, mnist, cache, one_line):
    one_line(lambda: images.load("mnist", download=False), "download=False")
    assert server.asked == []
    assert not cache.exists()


def test_wrong_hash(server, mnist, monkeypatch, cache, one_line):
    """Names file, found and expected; nothing of the file stays."""
    right = downloads.ARCHIVES["mnist"]
    wrong = right._replace(files=right.files | {"train-labels-idx1-ubyte.gz": "md5:" + "0" * 32})
    monkeypatch.setitem(downloads.ARCHIVES, "mnist", wrong)
    found = md5(server.files["train-labels-idx1-ubyte.gz"]).removeprefix("md5:")
    one_line(lambda: images.load("mnist"), "the download failed", "train-labels-idx1-ubyte.gz", found, "0" * 32)
    assert not (cache / "mnist").exists()
    assert [f.name for f in (cache / "mnist.part").iterdir()] == ["train-images-idx3-ubyte.gz"]
    monkeypatch.setitem(downloads.ARCHIVES, "mnist", right)
    check(images.load("mnist"), *mnist["train"], "0123456789", cache / "mnist")


@pytest.mark.parametrize("ranges", ["kept", "ignored", "refused"])
def test_an_interrupted_download_goes_on(server, mnist, cache, one_line, ranges):
    """With the rest of the file; from its start if the server knows no ranges."""
    *before, file, last = downloads.ARCHIVES["mnist"].files
    half = len(server.files[file]) // 2
    server.cut, server.ranges = {file: half}, ranges
    one_line(lambda: images.load("mnist"), "the download failed")
    assert sorted(f.name for f in (cache / "mnist.part").iterdir()) == sorted([*before, f"{file}.part"])
    arrived = (cache / "mnist.part" / f"{file}.part").read_bytes()
    assert half - 2**16 <= len(arrived) <= half  # less than a piece is lost
    assert server.files[file].startswith(arrived)
    assert not (cache / "mnist").exists()
    server.cut = {}
    server.asked.clear()
    check(images.load("mnist", "test"), *mnist["test"], "0123456789", cache / "mnist")
    again = [(file, None)] if ranges == "refused" else []
    assert server.asked == [(file, f"bytes={len(arrived)}-"), *again, (last, None)]
    assert sorted(f.name for f in (cache / "mnist").iterdir()) == sorted([*before, file, last])


def test_a_file_that_is_not_there(server, mnist, one_line):
    del server.files["t10k-images-idx3-ubyte.gz"]
    one_line(lambda: images.load("mnist"), "the download failed", "404", "t10k-images-idx3-ubyte.gz")


def tar(members):
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_download_of_an_archive(server, monkeypatch, tmp_path, cache):
    """Unpacked into the cache, and nothing outside the set's own folder."""
    batches = write_pickles(tmp_path / "served")
    members = {f"cifar-10-batches-py/{f.name}": f.read_bytes() for f in (tmp_path / "served").iterdir()}
    bad = {"../outside": b"", "cifar-10-batches-py/../../outside": b"", "inside": b""}
    serve(server, monkeypatch, "cifar10", {"cifar-10-python.tar.gz": tar(members | bad)})
    place = cache / "cifar10" / "cifar-10-batches-py"
    check(images.load("cifar10"), *joined(batches, "train"), NAMES, place)
    check(images.load("cifar10", "test"), *joined(batches, "test"), NAMES, place)
    assert server.asked == [("cifar-10-python.tar.gz", None)]
    assert [f.name for f in cache.iterdir()] == ["cifar10"]
    assert [f.name for f in (cache / "cifar10").iterdir()] == ["cifar-10-batches-py"]


def test_an_archive_is_unpacked_anew(server, monkeypatch, tmp_path, cache, one_line):
    """After an interruption the files that are already there may be cut off."""
    batches = write_pickles(tmp_path / "served")
    members = {f"cifar-10-batches-py/{f.name}": f.read_bytes() for f in (tmp_path / "served").iterdir()}
    content = tar(members)
    serve(server, monkeypatch, "cifar10", {"cifar-10-python.tar.gz": content})
    staging = cache / "cifar10.part"
    (staging / "cifar-10-batches-py").mkdir(parents=True)
    (staging / "cifar-10-python.tar.gz").write_bytes(content)
    for name in members:
        (staging / name).write_bytes(b"cut off")
    check(images.load("cifar10"), *joined(batches, "train"), NAMES, cache / "cifar10" / "cifar-10-batches-py")
    assert server.asked == []


def test_an_archive_of_something_else(server, monkeypatch, one_line):
    serve(server, monkeypatch, "cifar10", {"cifar-10-python.tar.gz": tar({"cifar-10-batches-py/readme": b""})})
    one_line(lambda: images.load("cifar10"), "the download holds no files of cifar10")


def test_a_cache_that_cannot_be_written(server, mnist, cache, one_line):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    one_line(lambda: images.load("mnist"), "the download failed", str(cache))


def test_addresses_and_hashes():
    """One md5 hash for each file, none twice."""
    files = {name: archive.files for name, archive in downloads.ARCHIVES.items()}
    assert {name: len(f) for name, f in files.items()} == {"mnist": 4, "fashion_mnist": 4, "cifar10": 1, "cifar100": 1}
    hashes = [h for f in files.values() for h in f.values()]
    assert len(set(hashes)) == 10
    assert all(h.startswith("md5:") and len(bytes.fromhex(h[4:])) == 16 for h in hashes)


# --- The real files ---------------------------------------------------------------------------------------


def test_real_mnist():
    root = pathlib.Path(REAL or ".")
    if not REAL or not any((root / i / f"{TRAIN}{end}").is_file() for i in INNER["mnist"] for end in ("", ".gz")):
        pytest.skip("needs MNIST in the folder that SNLJAX_DATA names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNLJAX_DATA", REAL)
        train, test = images.load("mnist"), images.load("mnist", "test")
    chex.assert_shape([train.images, test.images], [(60000, 28, 28, 1), (10000, 28, 28, 1)])
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(train.images.mean() / 255, 4) == 0.1307
