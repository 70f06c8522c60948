"""List of all recipes, and copies of recipes for a user; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vireid_cli import files, reading
from vireid_cli.errors import UsageError
from vireid_cli.recipe.json_schema import RECIPE_FILE
from vireid_cli.recipe.load import find, load, shipped
from vireid_cli.recipe.lookup import NOT_RECIPES, shipped_folder
from vireid_cli.recipe.schema import Recipe, Reported
from vireid_cli.recipe.yaml_reader import LIMIT

_MODELINE = re.compile(r"^# yaml-language-server: \$schema=.*\n", re.MULTILINE)
"""Line by which editors find the JSON Schema of a recipe."""

OWN = Path("recipes")
"""Folder of a user's own recipes, relative to the working directory."""


SCHEMA_LIMIT = 2**24
"""Largest size of a JSON Schema in bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe of the catalogue.

    Attributes:
        name: Value for ``--recipe``: the path below the folder of recipes, without ``.yaml``.
        path: Path of the file.
        own: Whether the file is in ``./recipes``.
        recipe: The recipe, with method options as written; None if it is invalid.
        problem: Error of an invalid recipe, otherwise empty.
    """

    name: str
    path: Path
    own: bool
    recipe: Recipe | None
    problem: str = ""

    @property
    def ablation(self) -> bool:
        """Whether the recipe is one row of an ablation table."""
        return self.name.startswith("ablations/")

    def matches(self, text: str) -> bool:
        """Whether name, paper, dataset or method contain the text; ignores case."""
        values = [self.name]
        if self.recipe is not None:
            values += [self.recipe.paper, self.recipe.data.dataset, self.recipe.method.name]
        return text.lower() in "\n".join(values).lower()


def entries() -> list[Entry]:
    """List the recipes in ``./recipes`` and the shipped ones, without studies; ablations last.

    A shipped recipe is omitted if ``./recipes`` has one of its name, which commands use instead.
    """
    own = [] if OWN.resolve() == shipped_folder().resolve() else sorted(OWN.rglob("*.yaml"))
    mine = _entries((path for path in own if path.parent.name not in NOT_RECIPES), OWN, own=True)
    names = {entry.name for entry in mine}
    return [
        *mine,
        *(entry for entry in _entries(shipped(), shipped_folder(), own=False) if entry.name not in names),
    ]


def header(text: str) -> str:
    """Return the comment at the beginning of a recipe, unchanged."""
    match = re.match(r"(#[^\n]*(\n|$))*", text)
    return match[0] if match else ""


def without_modeline(text: str) -> str:
    """Return a text without the line that names the JSON Schema."""
    return _MODELINE.sub("", text)


def add_schema(folder: Path) -> Path | None:
    """Write the shipped JSON Schema of recipes into a folder, unless it has one.

    Returns:
        Path of the new file, or None.

    Raises:
        DataError: The file can't be written.
    """
    target = folder / RECIPE_FILE
    if target.exists():
        return None
    text = reading.read_text(shipped_folder() / RECIPE_FILE, limit=SCHEMA_LIMIT, error=UsageError)
    return files.write_text(target, text)


def copy(name: str, to: Path | None = None, *, overwrite: bool = False) -> Path:
    """Copy a recipe with its comments, by default to ``./recipes``.

    Adapts the launch line in the comments, the path of an extended recipe and the line that names the JSON
    Schema to the copy.

    Args:
        name: Path of a recipe, or name of a shipped one.
        to: File or folder of the copy.
        overwrite: Whether to replace an existing file.

    Returns:
        Path of the copy.

    Raises:
        UsageError: The recipe does not exist, or the copy exists or is the recipe itself.
        DataError: The copy can't be written.
    """
    source = _source(name)
    folder = OWN if to is None else to
    target = folder if folder.suffix in (".yaml", ".yml") else folder / source.name
    if target.exists():
        if target.samefile(source):
            raise UsageError(f"{target} is the recipe itself.", "Choose another name for the copy.")
        if not overwrite:
            raise UsageError(f"{target} exists.", "Replace it with --force, or choose another file.")
    text = reading.read_text(source, limit=LIMIT, error=UsageError)
    launch_name = target.name if target.parent == OWN else target.as_posix()
    text = re.sub(rf"(--recipe )(\S*/)?{re.escape(source.name)}", lambda m: m[1] + launch_name, text)
    text = _MODELINE.sub(f"# yaml-language-server: $schema={RECIPE_FILE}\n", text)
    extends = re.compile(r"""(?m)^extends:[ ]*["']?([^\s"']+)["']?""")
    text = extends.sub(lambda m: f"extends: {_parent(source, m[1], target)}", text)
    return files.write_text(target, text)


def metrics(row: Reported) -> str:
    """Format a reported row: protocol, Rank-1 and mAP in percent, – for missing values."""
    values = [f"{value:.2f}" if value is not None else "–" for value in (row.rank1, row.mAP)]
    return f"{row.protocol} {' / '.join(values)}"


def _entries(paths: Iterable[Path], folder: Path, *, own: bool) -> list[Entry]:
    listed = []
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            listed.append(Entry(name, path, own, load(str(path))))
        except UsageError as error:
            listed.append(Entry(name, path, own, None, error.message))
    return sorted(listed, key=lambda entry: ("/" in entry.name, entry.name))


def _source(name: str) -> Path:
    """Find the file to copy; for a bare name, shipped recipes precede ``./recipes``."""
    wanted = name.removesuffix(".yaml")
    for path in shipped():
        if wanted in (path.stem, path.relative_to(shipped_folder()).with_suffix("").as_posix()):
            return path
    return find(name)


def _parent(source: Path, extends: str, target: Path) -> str:
    """Value of ``extends`` in the copy."""
    beside = source.parent / extends
    parent = beside if beside.is_file() else find(extends)
    if parent.resolve().is_relative_to(shipped_folder().resolve()):
        return parent.name  # ``find`` searches ./recipes and the shipped recipes
    return str(parent.resolve()) if target.parent.resolve() != parent.parent.resolve() else parent.name
