"""Values and names as messages show them: on one line, not too long, with the nearest name that there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

_MOST = 100  # characters of a value


def one_line(text: object) -> str:
    """A text, or what an error says, with every run of white space one blank.

    Example:
        >>> one_line(ValueError("a: wrong;\\n   allowed: b"))
        'a: wrong; allowed: b'
    """
    return " ".join(str(text).split())


def shortened(text: object, most: int) -> str:
    """A text on one line, cut to ``most`` characters.

    Example:
        >>> shortened("signal and noise", 9)
        'signal...'
    """
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def shown(value: Any) -> str:
    """A value in a message: one line, and not a long one."""
    try:
        return shortened(repr(value), _MOST)
    except ValueError:  # thousands of digits
        return f"a {type(value).__name__} of many digits"


def listed(names: Iterable[str]) -> str:
    """Names with commas, or "none"."""
    return ", ".join(names) or "none"


def plain(value: Any) -> Any:
    """None as messages, TOML and columns of text have it, which know no null."""
    return "none" if value is None else value


def nearest(name: Any, known: Iterable[Any]) -> str:
    """``did you mean … ?`` with the nearest of the known names, or nothing."""
    by_text = {str(one): one for one in known}
    near = difflib.get_close_matches(name, by_text, 1, 0.4) if isinstance(name, str) else []
    return f"did you mean {by_text[near[0]]!r}? " if near else ""


def unknown(kind: str, name: Any, known: Iterable[str], of: str | None = None) -> str:
    """The message about a name that is not there.

    Example:
        >>> unknown("field", "sigma", ["sigma_p", "K"], of="topk_pruning")
        "field: 'sigma' is not known to topk_pruning; did you mean 'sigma_p'? allowed: sigma_p, K"
    """
    known = list(known)
    to = f" to {of}" if of else ""
    return f"{kind}: {shown(name)} is not known{to}; {nearest(name, known)}allowed: {', '.join(known)}"
