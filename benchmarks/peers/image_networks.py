"""PyTorch's VGG-16 and residual networks for small images, layer by layer as in ``snljax.models.vision``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Blocks of each stage, filters, whether blocks are bottlenecks, whether shortcuts are padded with zeros.
RESNETS: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool, bool]] = {
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512), False, False),
    "resnet32": ((5, 5, 5), (16, 32, 64), False, True),
    "resnet50": ((3, 4, 6, 3), (64, 128, 256, 512), True, False),
    "resnet20_128": ((3, 3, 3), (128, 256, 512), False, False),
}


def network(
    name: str, width: float = 1.0, channels: int = 3, classes: int = 10, blocks: tuple[int, ...] | None = None
) -> nn.Module:
    """By the name that it has in snljax. blocks: of each stage, if others than the name says."""
    made = nn.Sequential()

    def normed(name: str, filters: int, kernel: int = 3) -> None:
        made.add_module(name, convolution(channels, filters, kernel))
        made.add_module(f"{name}_norm", nn.BatchNorm2d(filters))
        made.add_module(f"{name}_relu", nn.ReLU())

    if name == "VGG16":
        for stage, (wide, count) in enumerate(VGG, start=1):
            made.add_module(f"stage{stage}", Stage(channels, round(wide * width), count))
            channels = round(wide * width)
    else:
        usual, filters, bottleneck, zeros = RESNETS[name]
        blocks = blocks or usual
        normed("stem", round(filters[0] * width))
        channels = round(filters[0] * width)
        for stage, (count, wide) in enumerate(zip(blocks, filters[: len(blocks)], strict=True), start=1):
            for i in range(1, count + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                block = Block(channels, round(wide * width), stride, bottleneck, zeros)
                made.add_module(f"stage{stage}_block{i}", block)
                channels = round(wide * width) * (4 if bottleneck else 1)
    for layer in (nn.AdaptiveAvgPool2d(1), nn.Flatten()):
        made.add_module(type(layer).__name__, layer)
    made.add_module("head", nn.Linear(channels, classes))
    return made


def convolution(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)


class Stage(nn.Module):
    """Convolutions with batch norm and ReLU, and the largest of 2 × 2 pixels where there are as many."""

    def __init__(self, channels: int, filters: int, count: int) -> None:
        super().__init__()
        self.count = count
        for i in range(1, count + 1):
            self.add_module(f"convolution{i}", convolution(channels if i == 1 else filters, filters, 3))
            self.add_module(f"norm{i}", nn.BatchNorm2d(filters))

    def forward(self, x: Any) -> Any:
        for i in range(1, self.count + 1):
            x = torch.relu(getattr(self, f"norm{i}")(getattr(self, f"convolution{i}")(x)))
        return nn.functional.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x


class Block(nn.Module):
    """Convolutions with batch norm, added to what came in."""

    def __init__(self, channels: int, filters: int, stride: int, bottleneck: bool, zeros: bool) -> None:
        super().__init__()
        out = 4 * filters if bottleneck else filters
        shapes = [(channels, filters, 3, stride), (filters, filters, 3, 1)]
        if bottleneck:
            shapes = [(channels, filters, 1, 1), (filters, filters, 3, stride), (filters, out, 1, 1)]
        self.count, self.stride, self.more = len(shapes), stride, out - channels
        for i, shape in enumerate(shapes, start=1):
            self.add_module(f"convolution{i}", convolution(*shape))
            self.add_module(f"norm{i}", nn.BatchNorm2d(shape[1]))
        self.projects = not zeros and (stride > 1 or channels != out)
        if self.projects:
            self.shortcut = convolution(channels, out, 1, stride)
            self.shortcut_norm = nn.BatchNorm2d(out)

    def forward(self, x: Any) -> Any:
        y = x
        for i in range(1, self.count + 1):
            y = torch.relu(y) if i > 1 else y
            y = getattr(self, f"norm{i}")(getattr(self, f"convolution{i}")(y))
        if self.projects:
            return torch.relu(y + self.shortcut_norm(self.shortcut(x)))
        before = self.more // 2
        around = (0, 0, 0, 0, before, self.more - before)
        return torch.relu(y + nn.functional.pad(x[:, :, :: self.stride, :: self.stride], around))


def variables(made: nn.Module, gradients: bool = False) -> dict[str, Any]:
    """What a network holds, as snljax's own has it in ``params`` and ``batch_stats``.

    Running variances stay PyTorch's, which divide by one less. gradients: of the weights, in their place.
    """
    found: dict[str, Any] = {"params": {}, "batch_stats": {}}

    def put(kind: str, path: str, name: str, tensor: Any) -> None:
        at = found[kind]
        for part in path.split("."):
            at = at.setdefault(part, {})
        at[name] = np.array(tensor.detach().numpy())  # a copy: PyTorch trains in place

    for path, layer in made.named_modules():
        weight, bias = (getattr(layer, name, None) for name in ("weight", "bias"))
        if gradients:
            weight, bias = (None if p is None else p.grad for p in (weight, bias))
        if isinstance(layer, nn.Conv2d):
            kernel = weight.permute(2, 3, 1, 0)
            put("params", path, "kernel", kernel[0, 0] if layer.kernel_size == (1, 1) else kernel)
        elif isinstance(layer, nn.Linear):
            put("params", path, "kernel", weight.T)
            put("params", path, "bias", bias)
        elif isinstance(layer, nn.BatchNorm2d):
            put("params", path, "scale", weight)
            put("params", path, "bias", bias)
            put("batch_stats", path, "mean", layer.running_mean)
            put("batch_stats", path, "var", layer.running_var)
    return found
