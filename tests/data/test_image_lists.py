"""Lists of images: order, labels, sizes and colours; what is wrong with a line, by its number."""

from __future__ import annotations

import chex
import numpy as np
import pytest
from PIL import Image

from snljax.data import images


@pytest.fixture
def folder(tmp_path):
    """Five pictures below train/, in files of two kinds, and a list of them in another folder."""
    rng = np.random.default_rng(0)
    pixels = {}
    for i, name in enumerate(("n01/a.png", "n01/b c.png", "n02/d.PNG", "n02/e.png", "n03/f.JPEG")):
        file = tmp_path / "pictures" / "train" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        value = np.full((4, 6, 3), 40 * i, np.uint8) if i == 4 else rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(value).save(file)
        pixels[f"train/{name}"] = value
    (tmp_path / "lists").mkdir()
    return tmp_path, pixels


def write(folder, text, name="train.txt"):
    path = folder / "lists" / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


LINES = (("n02/e.png", 1), ("n01/b c.png", 0), ("n03/f.JPEG", 2), ("n01/a.png", 0), ("n02/d.PNG", 1))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "  \n"])
def test_images_in_the_order_of_the_list(folder, end):
    root, pixels = folder
    path = write(root, end.join(f"train/{name} {label}" for name, label in LINES) + end)
    found = images.load_list(str(path), root=str(root / "pictures"))
    chex.assert_type([found.images, found.labels], [np.uint8, np.int64])
    np.testing.assert_array_equal(found.images, [pixels[f"train/{name}"] for name, _ in LINES])
    assert found.labels.tolist() == [label for _, label in LINES]
    assert (found.classes, found.source) == (("0", "1", "2"), str(path))


def test_paths_beside_the_list_or_absolute(folder):
    root, pixels = folder
    path = write(root, f"../pictures/train/n01/a.png\t0\n{root}/pictures/train/n02/d.PNG 1")
    found = images.load_list(path)
    np.testing.assert_array_equal(found.images, [pixels["train/n01/a.png"], pixels["train/n02/d.PNG"]])


def test_names_of_classes(folder):
    root, _ = folder
    path = write(root, "train/n02/e.png 1\ntrain/n01/a.png 0")
    found = images.load_list(path, root=root / "pictures", classes=["cat", "dog"])
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [1, 0]


def test_byte_order_mark_of_some_editors(folder):
    root, _ = folder
    assert images.load_list(write(root, "\ufefftrain/n01/a.png 0"), root=root / "pictures").labels.tolist() == [0]


def test_images_of_other_sizes_and_colours(folder, one_line):
    """Resized as Pillow does; RGB as soon as one is."""
    root, pixels = folder
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(grey).save(root / "pictures" / "grey.png")
    path = write(root, "grey.png 0\ntrain/n01/a.png 1")
    found = images.load_list(path, root=root / "pictures", size=(3, 5))
    expected = [
        Image.fromarray(a).convert("RGB").resize((5, 3), Image.Resampling.BILINEAR)
        for a in (grey, pixels["train/n01/a.png"])
    ]
    np.testing.assert_array_equal(found.images, [np.asarray(e) for e in expected])
    one_line(lambda: images.load_list(path, root=root / "pictures"), "train.txt, line 2", "(4, 6) pixels, but (6, 8)")
    alone = images.load_list(write(root, "grey.png 0"), root=root / "pictures")
    np.testing.assert_array_equal(alone.images, grey[None, :, :, None])


def test_what_is_wrong_with_a_line(folder, one_line):
    root, _ = folder
    first = "train/n01/a.png 0\n\n"
    for line, *texts in (
        ("train/n01/nothing.png 1", "line 3", "nothing.png", "is missing", "pictures"),
        ("train/n01 1", "line 3", "is missing"),
        ("train/n01/a.png", "line 3", "'train/n01/a.png'", "a path and a label"),
        ("train/n01/a.png one", "line 3", "label 'one'", "a whole number from 0"),
        ("train/n01/a.png 1.0", "line 3", "label '1.0'"),
        ("train/n01/a.png -1", "line 3", "label '-1'"),
        ("train/n01/a.png 1_0", "line 3", "label '1_0'"),
        ("train/n01/a.png ²", "line 3", "label '²'"),
        ("train/n01/a.png " + "9" * 40, "line 3", "label"),
        ("train/n01/a.png 2", "label 2 among 2 images"),
        ("train/n01/a.png 2\ntrain/n01/a.png 0", "class 1 ('1') has no images"),
        ("train/n01/a.png " + "9" * 17, "label 99999999999999999 among 2 images"),
    ):
        message = one_line(
            lambda line=line: images.load_list(write(root, first + line), root=root / "pictures"), *texts
        )
        assert str(root / "lists" / "train.txt") in message
    named = write(root, f"{first}train/n01/a.png 1")
    one_line(lambda: images.load_list(named, root=root / "pictures", classes=["cat"]), "line 3: label 1", "0 to 0")


def test_what_is_wrong_with_a_list(folder, one_line):
    root, _ = folder
    one_line(lambda: images.load_list(root / "lists" / "no.txt"), "no.txt: cannot be read")
    one_line(lambda: images.load_list(root / "lists"), "lists: cannot be read")
    one_line(lambda: images.load_list(write(root, "")), "train.txt: no images")
    one_line(lambda: images.load_list(write(root, " \n\n")), "train.txt: no images")
    one_line(lambda: images.load_list(write(root, b"\xff\xfe\x00 0")), "train.txt: cannot be read (UnicodeDecodeError")
    (root / "pictures" / "broken.png").write_bytes(b"no image")
    broken = write(root, "broken.png 0")
    one_line(lambda: images.load_list(broken, root=root / "pictures"), "line 1", "broken.png", "unreadable image")
    one_line(lambda: images.load_list(broken, size=(3, 0)), "size: (3, 0)")
