"""The papers whose systems these are: number, name, title, authors, what each shows, and its text."""

from __future__ import annotations

from typing import NamedTuple


class Paper(NamedTuple):
    """One paper.

    number: three digits. name: short, as citations print it. title: as printed. authors: as far as the text
    gives them. summary: one sentence. file: its text, which is not part of the package.
    """

    number: str
    name: str
    title: str
    authors: tuple[str, ...]
    summary: str
    file: str


PAPERS = {
    paper.number: paper
    for paper in (
        Paper(
            "000",
            "dynamic TopK pruning",
            "",  # the text has lost its title page, and its authors with it: the name is ours
            (),
            "Keeping the K largest weights of each filter while it trains moves the noise level up to which a "
            "two-layer network learns its signal.",
            "000_00bc3c8244f7a20d.txt",
        ),
        Paper(
            "001",
            "benign overfitting and long tails",
            "Rethinking Benign Overfitting in Two-Layer Neural Networks",
            ("Ruichen Xu", "Kexin Chen"),
            "Noise that differs between classes holds features of its own, so that memorising it helps on long-tailed "
            "data.",
            "001_bf8ff98528848446.txt",
        ),
        Paper(
            "002",
            "random pruning",
            "Theoretical Characterization of How Neural Network Pruning Affects its Generalization",
            (),  # under double-blind review
            "Random pruning before training improves generalisation while it is mild, and leaves only memorised noise "
            "beyond a threshold.",
            "002_e556ebe0d8150778.txt",
        ),
        Paper(
            "003",
            "per-example gradient regularisation",
            "Per-Example Gradient Regularization Improves Learning Signals from Noisy Data",
            ("Xuran Meng", "Yuan Cao", "Difan Zou"),
            "Penalising the gradient of every example holds back the memorisation of noise and lets a network learn "
            "its signal.",
            "003_42eed53d19772e3c.txt",
        ),
        Paper(
            "004",
            "contrastive learning under imbalance",
            "Theoretical Analysis of Contrastive Learning under Imbalanced Data: From Training Dynamics to a Pruning "
            "Solution",
            ("Haixu Liao", "Yating Zhou", "Songyang Zhang", "Meng Wang", "Shuai Zhang"),
            "Contrastive learning gives rare features fewer neurons of their own, and pruning restores what the "
            "imbalance took.",
            "004_4649f4726ba76075.txt",
        ),
    )
}


def cite(number: str, place: str = "") -> str:
    """A citation in words, as claims, pictures and lists print it.

    Args:
        number: three digits, a key of ``PAPERS``.
        place: where in the paper, such as ``"Figure 2"``; nothing for the whole paper.

    Returns:
        "paper NUMBER (NAME), PLACE".

    Raises:
        ValueError: if no paper has that number.

    Example:
        >>> cite("003", "Figure 2")
        'paper 003 (per-example gradient regularisation), Figure 2'
        >>> cite("000")
        'paper 000 (dynamic TopK pruning)'
    """
    if number not in PAPERS:
        raise ValueError(f"paper: {number!r} is not known; allowed: {', '.join(PAPERS)}")
    return f"paper {number} ({PAPERS[number].name})" + (f", {place}" if place else "")
