"""Check of a dataset's root folder: its folders are there, and the root is not one level off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vireid_cli.data.layout import listing
from vireid_cli.dataset_names import OWN
from vireid_cli.errors import DataError, UsageError
from vireid_cli.printable import shell_line


@dataclass(frozen=True, slots=True)
class Root:
    """Description of a dataset's root folder.

    Attributes:
        dataset: Name of the source, for the command in an error.
        title: Display name of the dataset.
        folders: Folders directly under the root.
        how_to_get: Advice for a missing dataset.
    """

    dataset: str
    title: str
    folders: tuple[str, ...]
    how_to_get: str

    def check(self, root: Path) -> None:
        """Refuse a folder that is not the root; the message names the root if it is nearby.

        Raises:
            UsageError: ``root`` is missing, one level too high, or one or two levels too low.
            DataError: Folders are missing.
        """
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", self.how_to_get)
        missing = [name for name in self.folders if not (root / name).is_dir()]
        if not missing:
            return
        expected = f"expected {', '.join(self.folders)}"
        if len(missing) < len(self.folders):
            raise DataError(
                f"{root}: folders missing: {', '.join(missing)} ({expected})",
                "Unpack the dataset again; each of these folders belongs directly under the root.",
            )
        resolved = root.resolve()
        for parent in (resolved.parent, resolved.parent.parent):
            if self._is_root(parent):
                raise UsageError(
                    f"{root} is inside the dataset: the root is {parent}",
                    self._command(parent),
                )
        for child in sorted(path for path in root.iterdir() if path.is_dir()):
            if self._is_root(child):
                raise UsageError(
                    f"{root} is one level too high: the root is {child}",
                    self._command(child),
                )
        raise DataError(
            f"{root} does not contain {self.title}: {expected} (found: {listing(root)})", self.how_to_get
        )

    def _command(self, root: Path) -> str:
        """Advice to use another root; of own folders without their name, which the layout does not know."""
        if self.dataset == OWN:
            return f"Set the root: --root {shell_line([str(root)])}"
        return shell_line(["vireid", "prepare", self.dataset, "--root", str(root)])

    def _is_root(self, folder: Path) -> bool:
        return all((folder / name).is_dir() for name in self.folders)
