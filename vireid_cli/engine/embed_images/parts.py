"""Embeddings of finished parts in a folder beside the result, one file per part, each written atomically."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli import files
from vireid_cli.array_files import load_arrays
from vireid_cli.engine.embed_images.plan import EmbedPlan
from vireid_cli.errors import DataError
from vireid_cli.unfinished import remove_unfinished

_SMALL = ("key", "codes", "spread", "bad_places", "bad_reasons")
_HINT = "Run the command again: it computes damaged parts again."


@dataclass(frozen=True, slots=True)
class PartFacts:
    """Content of a part's file without the embeddings; see ``decode.DecodedPart``.

    Attributes:
        codes: (n,) uint8, modality of each readable image.
        spread: (n,) float32, channel spread of each readable image.
        bad: Reason by place in the part, of images that can't be read.
    """

    codes: np.ndarray
    spread: np.ndarray
    bad: dict[int, str]


@dataclass(frozen=True, slots=True)
class PartFolder:
    """Folder of the parts of a result.

    Attributes:
        folder: ``<result>.parts``.
    """

    folder: Path

    @staticmethod
    def of(out: Path) -> PartFolder:
        """Return the folder of the parts of a result."""
        return PartFolder(out.with_name(f"{out.name}.parts"))

    def file(self, part: int) -> Path:
        """Return the path of a part."""
        return self.folder / f"{part:07d}.npz"

    def write(self, plan: EmbedPlan, part: int, facts: PartFacts, features: np.ndarray) -> None:
        """Write a part; raises ``DataError`` if it can't be written."""
        files.write_npz(
            self.file(part),
            False,
            key=np.array(plan.keys[part]),
            codes=facts.codes,
            spread=facts.spread,
            bad_places=np.array(sorted(facts.bad), dtype=np.int64),
            bad_reasons=np.array([facts.bad[place] for place in sorted(facts.bad)], dtype=np.str_),
            features=np.ascontiguousarray(features, dtype=np.float32),
        )

    def read(self, plan: EmbedPlan, part: int) -> PartFacts | None:
        """Read the facts of a part; None if it is missing, damaged, or of other inputs."""
        path = self.file(part)
        try:
            arrays, names = load_arrays(path, _SMALL, hint=_HINT)
        except DataError:
            return None
        if {*_SMALL, "features"} - set(names) or str(arrays["key"]) != plan.keys[part]:
            return None
        reasons = zip(arrays["bad_places"].tolist(), arrays["bad_reasons"].tolist(), strict=True)
        return PartFacts(arrays["codes"], arrays["spread"], dict(reasons))

    def finished(self, plan: EmbedPlan, parts: Iterable[int]) -> dict[int, PartFacts]:
        """Return the facts of the finished ones of ``parts``."""
        read = ((part, self.read(plan, part)) for part in parts)
        return {part: facts for part, facts in read if facts is not None}

    def features(self, plan: EmbedPlan) -> Iterator[np.ndarray]:
        """Yield the embeddings of all parts in order, (n, D) float32 each.

        Raises:
            DataError: A part is missing or damaged.
        """
        for part in range(len(plan)):
            arrays, _ = load_arrays(self.file(part), ("key", "features"), hint=_HINT)
            if str(arrays["key"]) != plan.keys[part]:
                raise DataError(f"{self.file(part)} was replaced by a part of other inputs.", _HINT)
            yield arrays["features"]

    def sweep(self) -> None:
        """Remove temporary files of killed processes."""
        remove_unfinished(self.folder)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
