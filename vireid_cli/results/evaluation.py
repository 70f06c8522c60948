"""One evaluation as a folder: replaced as a whole, and its files carry one identifier that readers check.

The identifier is a hash over the figures and all arrays, so the same results have the same one. Folders
written before there were identifiers are read, unless counts or average precisions show that their files
are of different evaluations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents, files, folders
from vireid_cli.errors import DataError
from vireid_cli.lock import locked
from vireid_cli.results import schema
from vireid_cli.results.arrays import Arrays, read_arrays

IDENTIFIER = "identifier"
"""Key of ``metrics.json`` and array of the ``.npz`` files beside it."""

CLOSE = 1e-6
"""How far the mean average precision of trial 0 may be from the one that ``metrics.json`` holds."""


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One finished evaluation: its metrics, and the arrays that were made with them.

    Attributes:
        name: The protocol's, or ``<dataset>-<protocol>``.
        folder: Where its files are.
        content: ``metrics.json``.
        again: The command that makes it anew.
    """

    name: str
    folder: Path
    content: schema.EvaluationFile
    again: str

    @property
    def identifier(self) -> str | None:
        """What all its files carry; None for results of before there were identifiers."""
        identifier = self.content.get(IDENTIFIER)
        return None if identifier is None else str(identifier)

    def ranking(self, names: Mapping[str, str] = schema.RANKING_ARRAYS) -> Arrays:
        """Arrays of ``ranking.npz``, by default ``schema.RANKING_ARRAYS``. Raises as ``read_arrays``."""
        return self._arrays(schema.RANKING, names)

    def embeddings(self, names: Mapping[str, str] = schema.EMBEDDING_ARRAYS) -> Arrays:
        """Arrays of ``embeddings.npz``, by default ``schema.EMBEDDING_ARRAYS``. Raises as ``read_arrays``."""
        return self._arrays(schema.EMBEDDINGS, names)

    def _arrays(self, file: str, names: Mapping[str, str]) -> Arrays:
        path = self.folder / file
        arrays = read_arrays(path, names, self.again, (IDENTIFIER,))
        self._refuse_other(path, arrays.pop(IDENTIFIER, None))
        return arrays

    def check(self) -> None:
        """Check that the files of the folder are of one evaluation, as far as they are there.

        Raises:
            DataError: They are not, or one can't be read.
        """
        for file, check in ((schema.RANKING, self._check_ranking), (schema.EMBEDDINGS, self._check_rows)):
            path = self.folder / file
            if not path.is_file():
                continue
            carried = read_arrays(path, {}, self.again, (IDENTIFIER,)).get(IDENTIFIER)
            self._refuse_other(path, carried)
            if carried is None:
                check(path)

    def _refuse_other(self, path: Path, carried: np.ndarray | None) -> None:
        """Refuse a file that carries another identifier."""
        if (None if carried is None else str(carried)) != self.identifier:
            raise self._mixed(path, "they carry different identifiers")

    def _check_ranking(self, path: Path) -> None:
        """Compare a ranking without identifier with the metrics, by what both hold."""
        optional = ("average_precision", "first_rank")
        arrays = read_arrays(path, {}, self.again, optional)
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
        """Compare embeddings without identifier with the metrics, by the sizes of the trials."""
        arrays = read_arrays(path, {}, self.again, ("query_offsets", "gallery_offsets"))
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
                raise self._mixed(path, f"{trials} trials, not {self.content['trials']}")

    def _mixed(self, path: Path, why: str) -> DataError:
        return DataError(
            f"{path} and {schema.METRICS} beside it are of different evaluations: {why}.",
            f"If an evaluation is being written now, wait for it and try again. Otherwise: {self.again}",
        )


def read_evaluation(folder: Path, again: str) -> StoredEvaluation:
    """Read one evaluation and check that its files were made together.

    Args:
        folder: ``<run>/evaluation/<protocol>``.
        again: The command that makes it anew, for errors.

    Raises:
        DataError: It is missing or damaged, or its files are of different evaluations.
    """
    place = folders.current(folder, schema.METRICS)
    content = _read_metrics(place / schema.METRICS, f"Evaluate it again: {again}")
    stored = StoredEvaluation(folder.name, place, content, again)
    stored.check()
    return stored


def _read_metrics(path: Path, hint: str) -> schema.EvaluationFile:
    """Read and check ``metrics.json``."""
    content: schema.EvaluationFile = documents.read_form(path, schema.CheckedEvaluation, hint=hint)
    return content


def stored_names(home: Path) -> list[str]:
    """Names of the evaluations in ``<run>/evaluation``, sorted."""
    names = set()
    for path in home.glob(f"*/{schema.METRICS}"):
        if not folders.is_part(path.parent):
            names.add(path.parent.name)
        elif path.parent.suffix == ".new":
            own = path.parent.with_name(path.parent.name[1:].removesuffix(".new"))
            if folders.current(own, schema.METRICS) == path.parent:
                names.add(own.name)
    return sorted(names)


def write_evaluation(folder: Path, content: schema.EvaluationFile, arrays: Mapping[str, Arrays]) -> None:
    """Replace an evaluation as a whole; files in its folder that are not vireid's stay.

    Args:
        folder: ``<run>/evaluation/<protocol>``.
        content: ``metrics.json``; its identifier is set here.
        arrays: File name → arrays.

    Raises:
        DataError: The folder can't be written; the old evaluation stays.
    """
    identifier = content["identifier"] = identify(content, arrays)
    owned = (schema.METRICS, schema.RANKING, schema.EMBEDDINGS)
    with folders.replacing(folder, schema.METRICS, owned) as fresh:
        for file, named in arrays.items():
            compress = file != schema.EMBEDDINGS
            files.write_npz(fresh / file, compress, **named, **{IDENTIFIER: np.array(identifier)})
        files.write_json(fresh / schema.METRICS, content)


def amend_evaluation(folder: Path, content: schema.EvaluationFile) -> None:
    """Write ``metrics.json`` of an evaluation again, with more beside the metrics.

    Raises:
        DataError: The folder holds another evaluation by now, or can't be written.
    """
    with writing(folder.parent):
        there = _read_metrics(folder / schema.METRICS, "")
        if there.get(IDENTIFIER) != content.get(IDENTIFIER):
            raise DataError(f"{folder} was evaluated again in the meantime.", "Compare the runs again.")
        files.write_json(folder / schema.METRICS, content)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Be the only process that writes evaluations of a run.

    Args:
        home: ``<run>/evaluation``.

    Raises:
        DataError: Another process is evaluating the run, or the folder can't be written.
    """
    with locked(home, home / ".lock"):
        yield


def identify(content: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> str:
    """Return the identifier of an evaluation: 32 hexadecimal digits of a hash over all that it holds."""
    plain = {key: value for key, value in content.items() if key != IDENTIFIER}
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for file in sorted(arrays):
        for name, array in sorted(arrays[file].items()):
            total.update(f"\n{file} {name} {array.dtype} {array.shape}\n".encode())
            if array.nbytes:
                total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()[:32]
