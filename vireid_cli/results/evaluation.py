"""Folder of an evaluation: written atomically, with an identifier in all files that readers compare.

The identifier is a hash of the metrics and all arrays, so equal results have equal identifiers. Folders of
early versions have no identifier. Readers accept them, unless counts or average precisions show that their
files belong to different evaluations.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents, files, folders
from vireid_cli.counts import counted
from vireid_cli.errors import DataError
from vireid_cli.lock import locked
from vireid_cli.results import schema
from vireid_cli.results.arrays import Arrays, read_arrays

IDENTIFIER = "identifier"
"""Name of the identifier, a key of ``metrics.json`` and an array of the ``.npz`` files."""

CLOSE = 1e-6
"""Largest difference between the mAP of trial 0 in ``ranking.npz`` and in ``metrics.json``."""

LOCK = ".lock"
"""File in the folder of a run's evaluations that a writing process locks."""

OWNED = (schema.METRICS, schema.RANKING, schema.EMBEDDINGS)
"""Names of the files of an evaluation."""


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """A stored evaluation.

    Attributes:
        name: Name of the protocol, or ``<dataset>-<protocol>``.
        folder: Folder of the files.
        content: Content of ``metrics.json``.
        command: Command that repeats the evaluation.
    """

    name: str
    folder: Path
    content: schema.EvaluationFile
    command: str

    @property
    def identifier(self) -> str | None:
        """Common identifier of all files; None for files of early versions."""
        identifier = self.content.get(IDENTIFIER)
        return None if identifier is None else str(identifier)

    def ranking(self, names: Mapping[str, str] = schema.RANKING_ARRAYS) -> Arrays:
        """Read arrays of ``ranking.npz``, by default ``schema.RANKING_ARRAYS``. Raises as ``read_arrays``."""
        return self._arrays(schema.RANKING, names)

    def embeddings(self, names: Mapping[str, str] = schema.EMBEDDING_ARRAYS) -> Arrays:
        """Read arrays of ``embeddings.npz``. Raises as ``read_arrays``.

        Args:
            names: Required arrays, by default ``schema.EMBEDDING_ARRAYS``.
        """
        return self._arrays(schema.EMBEDDINGS, names)

    def _arrays(self, file: str, names: Mapping[str, str]) -> Arrays:
        path = self.folder / file
        arrays = read_arrays(path, names, self.command, (IDENTIFIER,))
        self._compare_identifier(path, arrays.pop(IDENTIFIER, None))
        return arrays

    def check(self) -> None:
        """Check that the existing files of the folder belong to one evaluation.

        Raises:
            DataError: The files belong to different evaluations, or one can't be read.
        """
        for file, check in ((schema.RANKING, self._check_ranking), (schema.EMBEDDINGS, self._check_rows)):
            path = self.folder / file
            if not path.is_file():
                continue
            identifier = read_arrays(path, {}, self.command, (IDENTIFIER,)).get(IDENTIFIER)
            self._compare_identifier(path, identifier)
            if identifier is None:
                check(path)

    def _compare_identifier(self, path: Path, identifier: np.ndarray | None) -> None:
        """Refuse a file with another identifier."""
        if (None if identifier is None else str(identifier)) != self.identifier:
            raise self._mixed(path, "they have different identifiers")

    def _check_ranking(self, path: Path) -> None:
        """Compare the counts and the mAP of a ranking without identifier with the metrics."""
        optional = ("average_precision", "first_rank")
        arrays = read_arrays(path, {}, self.command, optional)
        precision = arrays.get("average_precision")
        if precision is None or precision.ndim != 1 or precision.dtype.kind != "f":
            return
        valid = ~np.isnan(precision)
        counts = (
            ("queries", len(precision), self.content["queries"]),
            ("valid_queries", int(valid.sum()), self.content["valid_queries"]),
        )
        for key, count, stored in counts:
            if stored != count:
                raise self._mixed(path, f"{key} {count:,}, not {stored:,}")
        first = self.content["per_trial"].get("mAP")
        if first and valid.any():
            mean = float(precision[valid].mean())
            if abs(mean - first[0]) > CLOSE:
                raise self._mixed(path, f"mAP {mean:.4f} in trial 0, not {first[0]:.4f}")

    def _check_rows(self, path: Path) -> None:
        """Compare the sizes of the trials of embeddings without identifier with the metrics."""
        arrays = read_arrays(path, {}, self.command, ("query_offsets", "gallery_offsets"))
        sides = (
            ("queries", self.content["queries"], "query_offsets"),
            ("gallery", self.content["gallery"], "gallery_offsets"),
        )
        for key, stored, name in sides:
            offsets = arrays.get(name)
            if offsets is None or offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
                continue
            count = int(offsets[1])
            if stored != count:
                raise self._mixed(path, f"{key} {count:,}, not {stored:,}")
            trials = len(offsets) - 1
            if "models" not in self.content and self.content["trials"] != trials:
                raise self._mixed(path, f"{counted(trials, 'trial')}, not {self.content['trials']}")

    def _mixed(self, path: Path, reason: str) -> DataError:
        return DataError(
            f"{path} and {schema.METRICS} beside it belong to different evaluations: {reason}.",
            f"If another process is evaluating this run, wait for it. Otherwise: {self.command}",
        )


def read_evaluation(folder: Path, command: str) -> StoredEvaluation:
    """Read an evaluation and check that its files belong together.

    Args:
        folder: ``<run>/evaluation/<protocol>``.
        command: Command that repeats the evaluation, for errors.

    Raises:
        DataError: The evaluation is missing or damaged, or its files belong to different evaluations.
    """
    place = folders.current(folder, schema.METRICS)
    content = _read_metrics(place / schema.METRICS, f"Evaluate it again: {command}")
    stored = StoredEvaluation(folder.name, place, content, command)
    stored.check()
    return stored


def _read_metrics(path: Path, hint: str) -> schema.EvaluationFile:
    """Read and validate ``metrics.json``."""
    content: schema.EvaluationFile = documents.read_form(path, schema.CheckedEvaluation, hint=hint)
    return content


def stored_names(home: Path) -> list[str]:
    """List the names of the evaluations in ``<run>/evaluation``, sorted.

    A folder that holds arrays without metrics is listed too: reading it raises an error.
    """
    names = set()
    for path in (path for file in OWNED for path in home.glob(f"*/{file}")):
        if not folders.is_temporary(path.parent):
            names.add(path.parent.name)
        elif path.parent.suffix == ".new":
            own = path.parent.with_name(path.parent.name[1:].removesuffix(".new"))
            if folders.current(own, schema.METRICS) == path.parent:
                names.add(own.name)
    return sorted(names)


def write_evaluation(folder: Path, content: schema.EvaluationFile, arrays: Mapping[str, Arrays]) -> None:
    """Write an evaluation atomically; other files in its folder are kept.

    Args:
        folder: ``<run>/evaluation/<protocol>``.
        content: Content of ``metrics.json``; the function sets its identifier.
        arrays: Arrays by file name.

    Raises:
        DataError: The folder can't be written; the old evaluation is unchanged.
    """
    identifier = content["identifier"] = identify(content, arrays)
    with folders.replacing(folder, schema.METRICS, OWNED) as fresh:
        for file, named in arrays.items():
            compress = file != schema.EMBEDDINGS
            files.write_npz(fresh / file, compress, **named, **{IDENTIFIER: np.array(identifier)})
        files.write_sealed(fresh / schema.METRICS, content)


def amend_evaluation(folder: Path, content: schema.EvaluationFile) -> None:
    """Replace ``metrics.json`` of an evaluation by ``content``, which has additional keys.

    Raises:
        DataError: The folder contains another evaluation, or can't be written.
    """
    with locked_evaluations(folder.parent):
        current = _read_metrics(folder / schema.METRICS, "")
        if current.get(IDENTIFIER) != content.get(IDENTIFIER):
            raise DataError(f"another process has evaluated {folder} again.", "Compare the runs again.")
        files.write_sealed(folder / schema.METRICS, content)


@contextmanager
def locked_evaluations(home: Path) -> Iterator[None]:
    """Hold the lock for writing evaluations of a run.

    Folders that the lock creates are removed if the block fails before it writes.

    Args:
        home: ``<run>/evaluation``.

    Raises:
        DataError: Another process is evaluating the run, or the folder can't be written.
    """
    created = [place for place in (home, *home.parents) if not place.exists()]
    try:
        with locked(home, home / LOCK):
            yield
    except BaseException:
        with suppress(OSError):  # a folder is missing or has content
            if created and os.listdir(home) == [LOCK]:
                (home / LOCK).unlink()
            for place in created:
                place.rmdir()
        raise


def identify(content: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> str:
    """Compute the identifier of an evaluation: 32 hexadecimal digits of a hash of its whole content."""
    plain = {key: value for key, value in content.items() if key != IDENTIFIER}
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for file in sorted(arrays):
        for name, array in sorted(arrays[file].items()):
            total.update(f"\n{file} {name} {array.dtype} {array.shape}\n".encode())
            if array.nbytes:
                total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()[:32]
