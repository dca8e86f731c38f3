"""Which programs may train for a store: one sealed list for each value of the static fields."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping

from snljax.sweep import files
from snljax.sweep.files import StoreError


class Accepted:
    """The lists of programs of a store.

    Args:
        path: the store's folder.
        by_markers: static fields -> hashes of the programs that trained finished blocks, from their markers.
    """

    def __init__(self, path: pathlib.Path, by_markers: Callable[[], dict[str, set[str]]]) -> None:
        self.path, self._by_markers = path, by_markers
        self._known: dict[str, set[str]] = {}  # as last read

    def has(self, key: str, sha: str) -> bool:
        """Whether a program may have trained here; of a list that is lost or damaged markers are what is known."""
        if sha not in self._known.get(key, ()):
            known = self._listed(key)  # anew: another process may have added to it
            if known is None:
                return True
            self._known[key] = set(known)
        return sha in self._known[key]

    def admit(self, programs: Mapping[str, str], old: Mapping[str, str], made_by: dict[str, str], accept: bool) -> None:
        """Record the hash of each program, or refuse one that differs from what trained here before.

        A list of programs that is lost or damaged is made again from the markers of the blocks that they trained.

        Args:
            programs: text of the static fields -> hash.
            old: the same, as version 1 of stores hashed: what it accepted is accepted.
            made_by: what made them, for the message.
            accept: record it beside the old one instead of refusing.

        Raises:
            StoreError: another program; says whether the versions or the code changed.
        """
        by_markers: dict[str, set[str]] | None = None
        for key, sha in programs.items():
            file = self._file(key)
            with files.clear_errors(self.path):
                known = self._listed(key)
                if known is None:
                    by_markers = self._by_markers() if by_markers is None else by_markers
                    file.parent.mkdir(exist_ok=True)
                    if key in by_markers or file.exists():
                        known = {found: {} for found in by_markers.get(key, {sha})}
                        files.replace(file, files.sealed({"static": json.loads(key), "accepted": known}))
                    else:
                        files.write_once(file, files.sealed({"static": json.loads(key), "accepted": {sha: made_by}}))
                        known = self._listed(key) or {sha: made_by}
                if sha in known:
                    continue
                if not accept and old.get(key) not in known:
                    raise self._another_program(list(known.values()), made_by)
                more = {"static": json.loads(key), "accepted": {**known, sha: made_by}}
                files.replace(file, files.sealed(more))

    def _another_program(self, there: list[dict[str, str]], made_by: dict[str, str]) -> StoreError:
        changed = [
            f"{name} {', '.join(sorted({str(v.get(name, 'unknown')) for v in there}))} there, {made_by[name]} here"
            for name in made_by
            if there and all(name in v and v[name] != made_by[name] for v in there)
        ]
        return StoreError(
            f"store: {self.path} was trained by another program "
            f"({'; '.join(changed) or 'the code of the experiment or of snljax, or its data, have changed'}); allowed: "
            "the program of the store, another store, or accept_program (--accept-program), which mixes both"
        )

    def _file(self, key: str) -> pathlib.Path:
        return self.path / "programs" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"

    def _listed(self, key: str) -> dict[str, dict[str, str]] | None:
        """The programs that are accepted for some static fields -> what made each; None if there is no good list."""
        with files.clear_errors(self.path, "read"):
            try:
                about = files.unsealed(self._file(key).read_bytes())
            except (*files.GONE, ValueError):
                return None
        good = about.get("static") == json.loads(key) and isinstance(about.get("accepted"), dict)
        return about["accepted"] if good else None
