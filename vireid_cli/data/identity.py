"""Identification of a dataset and its people: titles, marks for fingerprints, hashes of identities."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.data import records_file
from vireid_cli.data import store as stores
from vireid_cli.data.decode import UNRECORDED, Decoder
from vireid_cli.data.depth import AUTO, choose_decoder
from vireid_cli.data.fill import decoders
from vireid_cli.data.locate import locate
from vireid_cli.data.provenance import Provenance, dials_text
from vireid_cli.data.sources import applies_exif, load_source, title_of
from vireid_cli.data.store import Store
from vireid_cli.processors import cores
from vireid_cli.types import RecordTable

TRAINING_SPLITS = ("train", "val")
"""Splits of the training identities in papers."""


def is_prepared(dataset: str, data_dir: Path) -> bool:
    """Whether a store of the dataset exists, real or rendered.

    Raises:
        UsageError: No source has this name.
    """
    load_source(dataset)
    folders = (stores.store_folder(data_dir, dataset, rendered) for rendered in (False, True))
    return any((folder / "store.json").is_file() for folder in folders)


@dataclass(frozen=True, slots=True)
class People:
    """The image files of a dataset.

    Attributes:
        records: One row per image.
        root: Root of the paths in ``records``.
        title: Display name of the dataset; rendered data are marked.
        dataset: Name of the source.
        provenance: Origin of the images: real, rendered or occluded.
        decoder: Decoder of the files, that of the store if the dataset is prepared.
        people: Number of each person by name, for people without a number in the layout.
    """

    records: RecordTable
    root: Path
    title: str
    dataset: str
    provenance: Provenance
    decoder: Decoder = field(default_factory=Decoder)
    people: dict[str, int] = field(default_factory=dict)

    def known(self, pids: np.ndarray, tokens: Collection[str]) -> np.ndarray:
        """Return whether each identity is among the hashes of a checkpoint; see ``known_identities``."""
        return _known(self.dataset, self.provenance, self.people, pids, tokens)


def find_people(dataset: str, data_dir: Path) -> People:
    """Find the image files of a dataset, prepared or not.

    Raises:
        UsageError: The dataset is neither prepared nor in the data directory.
        DataError: Its layout is incomplete.
    """
    if is_prepared(dataset, data_dir):
        store = stores.open_store(data_dir, dataset)
        info = store.info
        return People(
            store.records,
            info.root,
            store_title(store),
            dataset,
            info.provenance,
            info.decoder,
            info.people,
        )
    located = locate(dataset, data_dir)
    scan = records_file.scan(dataset, located.root)
    title, provenance = _title(dataset, scan.report.provenance), scan.report.provenance
    decoder = default_decoder(dataset, scan.records, located.root, provenance)
    return People(scan.records, located.root, title, dataset, provenance, decoder, scan.people)


def decoder_of(
    dataset: str, data_dir: Path, root: Path, records: RecordTable, provenance: Provenance
) -> Decoder:
    """Decoder of the files under a root: that of the store if it has this root, otherwise the default."""
    if is_prepared(dataset, data_dir):
        info = stores.open_store(data_dir, dataset).info
        if info.root == root.resolve() and info.decoder.depth != UNRECORDED:
            return info.decoder
    return default_decoder(dataset, records, root, provenance)


def default_decoder(dataset: str, records: RecordTable, root: Path, provenance: Provenance) -> Decoder:
    """Build the decoder of ``prepare`` without options; measures the range of 16-bit images."""
    fixed = provenance.occlusion.get("decoder")
    if fixed is not None:
        return Decoder.of_json(fixed)
    with decoders(cores()) as pool:
        return choose_decoder(records, root, AUTO, applies_exif(dataset), pool)


def store_title(store: Store) -> str:
    """Display name of a store's dataset; rendered data are marked."""
    return _title(store.info.dataset, store.info.provenance)


def _title(dataset: str, provenance: Provenance) -> str:
    title = title_of(dataset)
    if not provenance.rendered:
        return title
    dials = dials_text(provenance.manifest)
    return f"rendered {title} layout" + (f", {dials}" if dials else "")


def marks(store: Store) -> dict[str, Any]:
    """Keys about the data in every fingerprint: dataset, rendering, occlusion, decoding, skipped images."""
    values: dict[str, Any] = {"dataset": store_title(store), "data": store.info.fingerprint[:12]}
    if store.rendered:
        manifest = store.info.provenance.manifest
        dials = dials_text(manifest)
        values["rendered"] = ", ".join(
            [
                f"version {manifest['version']}",
                f"seed {manifest['seed']}",
                *([dials] if dials else []),
                manifest["content_hash"][:12],
            ]
        )
    occlusion = store.info.provenance.occlusion
    if occlusion:
        values["occlusion"] = occlusion_text(occlusion)
    if choices := store.info.decoder.differences:
        values["decoding"] = "; ".join(choices)
    if store.info.split is not None:
        values["identity_split"] = store.info.split.text.replace("--", "")
    if store.info.bad:
        values["images_left_out"] = len(store.info.bad)
    return values


def occlusion_text(mark: Mapping[str, Any]) -> str:
    """Describe an occlusion on one line: preset, probabilities, seed and library."""
    policy, library = mark["policy"], mark["library"]
    trial = f"trial {mark['trial']}, " if mark.get("trial") else ""
    chances = ", ".join(f"{role} {policy[f'{role}_p']:g}" for role in ("train", "query", "gallery"))
    return (
        f"preset {mark['preset']} ({chances}; {policy['query_modality']} queries), "
        f"seed {mark['seed']}, {trial}"
        f"library {library['name']} {library['sha256'][:12]}, images {mark['content_hash'][:12]}"
    )


def describe(store: Store) -> dict[str, Any]:
    """Return the keys about the data in ``environment.json``."""
    return {
        **marks(store),
        "fingerprint": store.info.fingerprint,
        "images": len(store.records),
        "decoder": store.info.decoder.as_json(),
    }


def identity_tokens(store: Store, pids: np.ndarray) -> list[str]:
    """Compute a short hash of each identity of a dataset, by which a checkpoint records its training data.

    Rendered people depend on the seed and their number only, so that a number has the same hash in the
    layouts of SYSU-MM01, RegDB and LLCM. The identities of an occluded dataset are those of its base.

    Args:
        store: The dataset.
        pids: (P,) person numbers.
    """
    return _tokens(store.info.dataset, store.info.provenance, store.info.people, pids)


def known_identities(store: Store, pids: np.ndarray, tokens: Collection[str]) -> np.ndarray:
    """Return whether each identity is in the training data of a checkpoint, (P,) bool.

    Args:
        store: The dataset.
        pids: (P,) person numbers.
        tokens: Hashes in the checkpoint. Earlier versions hashed rendered people with the layout's name.
    """
    return _known(store.info.dataset, store.info.provenance, store.info.people, pids, tokens)


def training_identities(dataset: str) -> int | None:
    """Number of training identities in papers; None for datasets without a published split."""
    return getattr(load_source(dataset), "TRAINING_IDENTITIES", None)


def official_tokens(dataset: str) -> list[str]:
    """Hashes of a real dataset's official training identities; empty if only its own files list them."""
    source = load_source(dataset)
    if not hasattr(source, "training_pids"):
        return []
    return _tokens(dataset, Provenance(), {}, source.training_pids())


def stored_tokens(dataset: str, data_dir: Path, trial: int) -> list[str]:
    """Hashes of the training identities of a real dataset; empty if it is not prepared."""
    if not is_prepared(dataset, data_dir):
        return []
    store = stores.open_store(data_dir, dataset)
    if store.rendered or store.info.provenance.occlusion:
        return []
    table = store.records_in_trial(trial)
    return identity_tokens(store, np.unique(table.pids[np.isin(table.splits, TRAINING_SPLITS)]))


def _tokens(dataset: str, provenance: Provenance, people: Mapping[str, int], pids: np.ndarray) -> list[str]:
    if provenance.rendered:
        return _hashes(f"rendered-{provenance.manifest['seed']}", pids)
    # The numbers of people with names change when people are added; their names do not.
    return _hashes(_base(dataset, provenance), pids, {number: name for name, number in people.items()})


def _known(
    dataset: str,
    provenance: Provenance,
    people: Mapping[str, int],
    pids: np.ndarray,
    tokens: Collection[str],
) -> np.ndarray:
    named = [_tokens(dataset, provenance, people, pids)]
    if provenance.rendered:
        former = f"{_base(dataset, provenance)}-rendered-{provenance.manifest['seed']}"
        named.append(_hashes(former, pids))
    matches: np.ndarray = np.isin(np.array(named), list(tokens))  # (forms, P)
    return np.logical_or.reduce(matches, axis=0)


def same_people(trained_on: str, store: Store) -> bool:
    """Whether a store has the people of the training dataset: the same one, or an occluded form of it."""
    base = _base(store.info.dataset, store.info.provenance)
    return trained_on.removeprefix("occ-") == base.removeprefix("occ-")


def _base(dataset: str, provenance: Provenance) -> str:
    """Name of the dataset, or of the base of an occluded one."""
    return str(provenance.occlusion.get("from", dataset))


def _hashes(population: str, pids: np.ndarray, names: Mapping[int, str] | None = None) -> list[str]:
    keys = [(names or {}).get(int(pid), str(int(pid))) for pid in pids]
    return [hashlib.sha256(f"{population}/{key}".encode()).hexdigest()[:16] for key in keys]
