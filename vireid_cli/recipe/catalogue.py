"""All recipes at a glance, and copies of them that are one's own; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vireid_cli import files, reading
from vireid_cli.errors import UsageError
from vireid_cli.recipe.load import find, load, shipped, shipped_folder
from vireid_cli.recipe.schema import Recipe, Reported
from vireid_cli.recipe.yaml_lines import LIMIT

OWN = Path("recipes")
"""Where a user's own recipes lie, from the folder in which a command runs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe of the catalogue.

    Attributes:
        name: What ``--recipe`` takes: the path below its folder, without ``.yaml``.
        path: Its file.
        own: It lies in ``./recipes``.
        recipe: Its content, method options as written; None where it is refused.
        problem: Why it is refused; empty otherwise.
    """

    name: str
    path: Path
    own: bool
    recipe: Recipe | None
    problem: str = ""

    def matches(self, text: str) -> bool:
        """Whether its name, paper, dataset or method holds the text, in any case."""
        found = [self.name]
        if self.recipe is not None:
            found += [self.recipe.paper, self.recipe.data.dataset, self.recipe.method.name]
        return text.lower() in "\n".join(found).lower()


def entries() -> list[Entry]:
    """Every recipe in ``./recipes`` and every shipped one (studies are none), ablations after the others."""
    own = [] if OWN.resolve() == shipped_folder().resolve() else sorted(OWN.rglob("*.yaml"))
    return [
        *_entries((path for path in own if path.parent.name != "studies"), OWN, own=True),
        *_entries(shipped(), shipped_folder(), own=False),
    ]


def header(text: str) -> str:
    """The comment that a recipe starts with, its lines as they are."""
    found = re.match(r"(#[^\n]*(\n|$))*", text)
    return found[0] if found else ""


def copy(name: str, to: Path | None = None, *, overwrite: bool = False) -> Path:
    """Copy a recipe with its comments into ``./recipes``.

    Its launch line names the copy; the recipe that it extends is named so that the copy finds it from
    anywhere.

    Args:
        name: A path, or a shipped recipe's name.
        to: The copy's file, or a folder; None: ``./recipes``.
        overwrite: Replace a file that is there.

    Returns:
        The copy's path.

    Raises:
        UsageError: There is no such recipe, it would be copied onto itself, or the file is there.
        DataError: The copy can't be written.
    """
    source = _source(name)
    folder = OWN if to is None else to
    target = folder if folder.suffix in (".yaml", ".yml") else folder / source.name
    if target.exists():
        if target.samefile(source):
            raise UsageError(f"{target} is the recipe itself.", "Give the copy another name.")
        if not overwrite:
            raise UsageError(f"{target} exists.", "Replace it with --force, or give another file.")
    text = reading.read_text(source, limit=LIMIT, error=UsageError)
    launched = target.name if target.parent == OWN else target.as_posix()
    text = re.sub(rf"(--recipe )(\S*/)?{re.escape(source.name)}", lambda m: m[1] + launched, text)
    extends = re.compile(r"""(?m)^extends:[ ]*["']?([^\s"']+)["']?""")
    text = extends.sub(lambda m: f"extends: {_parent(source, m[1], target)}", text)
    return files.write_text(target, text)


def metrics(row: Reported) -> str:
    """A reported row in short: protocol, Rank-1 and mAP in percent where the paper has them."""
    values = [f"{value:.2f}" if value is not None else "–" for value in (row.rank1, row.mAP)]
    return f"{row.protocol} {' / '.join(values)}"


def _entries(paths: Iterable[Path], folder: Path, *, own: bool) -> list[Entry]:
    found = []
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            found.append(Entry(name, path, own, load(str(path))))
        except UsageError as error:
            found.append(Entry(name, path, own, None, error.message))
    return sorted(found, key=lambda entry: ("/" in entry.name, entry.name))


def _source(name: str) -> Path:
    """The file that is copied; a bare name means the shipped recipe, not an earlier copy of it."""
    wanted = name.removesuffix(".yaml")
    for path in shipped():
        if wanted in (path.stem, path.relative_to(shipped_folder()).with_suffix("").as_posix()):
            return path
    return find(name)


def _parent(source: Path, extends: str, target: Path) -> str:
    """How the copy names the recipe that its source extends."""
    beside = source.parent / extends
    parent = beside if beside.is_file() else find(extends)
    if parent.resolve().is_relative_to(shipped_folder().resolve()):
        return parent.name  # found in ./recipes, where it may be one's own, or among the shipped ones
    return str(parent.resolve()) if target.parent.resolve() != parent.parent.resolve() else parent.name
