"""Files of the folder of recipes by name: recipes, studies and tuning studies.

A name is a path, a file in the current folder's ``recipes``, or a shipped file, in this order.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vireid_cli import files, reading
from vireid_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file in the folder of recipes.

    Attributes:
        title: Name of the kind in messages, with its article.
        folders: Its folders in the folder of recipes; "" for the folder itself.
        verb: What to do with such a file, and the command without its name.
        listing: Advice if no name is near; empty to list all names instead.
    """

    title: str
    folders: tuple[str, ...]
    verb: str
    listing: str = ""

    @property
    def noun(self) -> str:
        """The title without its article."""
        return self.title.partition(" ")[2]


RECIPE = Kind(
    "a recipe", ("", "ablations"), "Train it: vireid train --recipe", "See all: vireid recipes list"
)
STUDY = Kind("a study", ("studies",), "Compare its rows: vireid compare")
TUNING = Kind("a tuning study", ("tuning",), "Run it: vireid tune")
KINDS = (RECIPE, STUDY, TUNING)

NOT_RECIPES = (*STUDY.folders, *TUNING.folders)
"""Folders in the folder of recipes with other files."""


def shipped_folder() -> Path:
    """Folder of the shipped recipes: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def find_file(name: str, kind: Kind) -> Path:
    """Find a file by its path or its name with or without ``.yaml``; the name needs no folder.

    Raises:
        UsageError: No such file of this kind exists; the hint names the command for a file of another kind,
            or the nearest names.
    """
    name = str(files.expand(Path(name))) if name.startswith("~") else name
    names = [name] if name.endswith((".yaml", ".yml")) else [name, f"{name}.yaml"]
    for folder in [Path(), *_homes(kind)]:
        for candidate in (folder / n for n in names):
            if candidate.is_file():
                return candidate
    for other in KINDS:
        if any((home / n).is_file() for home in _homes(other) for n in names):
            raise UsageError(f"'{name}' is {other.title}, not {kind.title}.", f"{other.verb} {name}")
    for candidate in map(Path, names):
        reading.refuse_irregular(candidate, error=UsageError)
    known = sorted(known_names(kind))
    close = difflib.get_close_matches(Path(name).stem, known, n=3, cutoff=0.5)
    advice = kind.listing or f"Known: {', '.join(known) or 'none'}"
    raise UsageError(
        f"There is no {kind.noun} '{name}': not a file, not in ./recipes, not shipped.",
        f"Did you mean: {', '.join(close)}?" if close else advice,
    )


def known_names(kind: Kind) -> set[str]:
    """Names of all files of a kind, the user's and the shipped ones."""
    return {path.stem for home in _homes(kind) for path in home.glob("*.yaml")}


def _homes(kind: Kind) -> Iterator[Path]:
    """Yield the folders of a kind, those of the user first."""
    for folder in kind.folders:
        for home in (Path("recipes"), shipped_folder()):
            yield home / folder
