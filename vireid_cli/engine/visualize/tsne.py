"""t-SNE of test images by embedding, amplitude and phase: FDNM's figures 2 and 6, SEPG's figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.components import COMPONENTS, components_of
from vireid_cli.engine.subjects.embeddings import RunEmbeddings, common_embeddings
from vireid_cli.engine.subjects.output import Output
from vireid_cli.errors import UsageError
from vireid_cli.figures import planes, tsne
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

RUNS = (1, 6)

SPATIAL = "spatial"
WORDS = {
    SPATIAL: "spatial features",
    "amplitude": "amplitude component",
    "phase": "phase component",
}


def draw(
    runs: Sequence[RunFolder],
    session: Session,
    output: Output,
    *,
    protocol: str | None = None,
    ids: int = 24,
    images: int = 20,
    seed: int = 0,
    by: planes.By = "both",
    component: str = "spatial",
) -> Path:
    """Draw the t-SNE of test images of one or several runs, for the same images of the same people.

    The spatial features are the evaluated embeddings. Amplitude and phase are those of the backbone's last
    feature map, computed by the run's network. ``frequency.components`` describes the conversion of a
    spectrum to a vector, which the papers do not specify.

    Args:
        runs: One to six evaluated runs.
        session: Device, reporter and folders.
        output: File, format and resolution.
        protocol: Name of the evaluation; None: the first one of each run.
        ids: Number of identities, the first with both modalities.
        images: Largest number of images per identity and modality, evenly spread over their paths.
        seed: Seed of t-SNE.
        by: Colour by ``modality``, ``identity`` or ``both``.
        component: ``spatial``, ``amplitude``, ``phase``, or ``all``.

    Raises:
        UsageError: A run has no such evaluation, a modality is missing, there are too few identities or
            common images, or data or checkpoint for amplitude and phase are missing.
        DataError: A file is damaged, or the store's images differ from the evaluated ones.
        MissingExtra: scikit-learn is not installed.
    """
    subjects = common_embeddings(runs, session, protocol)
    people = subjects[0].people
    if ids > len(people):
        session.reporter.warn(
            f"only {counted(len(people), 'identity')} with both modalities; the figure shows all of them"
        )
    rows = select_rows(subjects[0].embeddings, people[:ids], images)
    _check_enough(subjects[0].embeddings, people, ids, images, len(rows))
    subjects = [one.take(rows) for one in subjects]
    names = tuple(WORDS) if component == "all" else (component,)
    labels = output.names(runs, [one.fingerprint for one in subjects])
    panels = _panels(labels, subjects, session, names, seed)
    shown = subjects[0].embeddings
    figure = planes.planes_figure(
        panels,
        shown.pids,
        shown.modalities,
        by,
        output.name(runs[0]) if len(subjects) == 1 else f"{counted(len(subjects), 'run')} on the same images",
        _subtitle(subjects, names, seed),
    )
    stem = "tsne" if component == SPATIAL else f"tsne-{component}"
    return output.save(figure, runs[0].figures / stem)


def _panels(
    labels: Sequence[str],
    subjects: Sequence[RunEmbeddings],
    session: Session,
    names: Sequence[str],
    seed: int,
) -> list[planes.Plane]:
    """Compute the t-SNE of each component of each run."""
    features = [_features(one, session, names) for one in subjects]
    panels: list[planes.Plane] = []
    total = len(names) * len(subjects)
    for label, components in zip(labels, features, strict=True):
        for name in names:
            session.reporter.advance("t-SNE", len(panels), total)
            panels.append(planes.Plane(label, WORDS[name], tsne.tsne_points(components[name], seed)))
    session.reporter.advance("t-SNE", total, total)
    return panels


def select_rows(images: Embeddings, people: np.ndarray, most: int) -> np.ndarray:
    """Select rows of people, evenly spread over the paths of each person and modality.

    Args:
        images: Embeddings of all images.
        people: (P,) person numbers.
        most: Largest number of images per person and modality.

    Returns:
        Row indices, ascending.
    """
    rows = np.flatnonzero(np.isin(images.pids, people))
    rows = rows[np.lexsort((images.paths[rows], images.modalities[rows], images.pids[rows]))]
    groups = np.stack([images.pids[rows], images.modalities[rows].astype(np.int64)])
    starts = np.flatnonzero(np.any(np.diff(groups, axis=1, prepend=groups[:, :1] - 1), axis=0))
    sizes = np.diff(starts, append=len(rows))
    place = np.arange(len(rows)) - np.repeat(starts, sizes)  # within the group
    size = np.repeat(sizes, sizes)
    count = np.minimum(most, size)
    return np.sort(rows[(place + 1) * count // size > place * count // size])


def _check_enough(shown: Embeddings, people: np.ndarray, ids: int, images: int, count: int) -> None:
    """Raise ``UsageError`` if t-SNE needs more images; its hint suggests values of the options.

    Args:
        shown: Embeddings of all images.
        people: (P,) identities with both modalities.
        ids, images: Current values of the options.
        count: Number of selected images.
    """
    if count >= tsne.FEWEST_POINTS:
        return
    more = [(number, images) for number in range(ids + 1, min(ids + tsne.FEWEST_POINTS, len(people)) + 1)]
    more += [(len(people), most) for most in range(images + 1, tsne.FEWEST_POINTS + 1)]
    hint = f"Evaluate it on more images: {counted(len(people), 'person')} with images of both modalities."
    for number, most in more:
        if len(select_rows(shown, people[:number], most)) >= tsne.FEWEST_POINTS:
            hint = "Show more:" + f" --ids {number}" * (number > ids) + f" --images {most}" * (most > images)
            break
    raise UsageError(
        f"{counted(count, 'image')}: too few for t-SNE, which needs {tsne.FEWEST_POINTS} or more.", hint
    )


def _features(one: RunEmbeddings, session: Session, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the requested components of a run's images, (N, D) each."""
    from_maps = [name for name in names if name in COMPONENTS]
    features = {SPATIAL: one.embeddings.features}
    if from_maps:
        features |= components_of(one, session, from_maps)
    return features


def _subtitle(subjects: Sequence[RunEmbeddings], names: Sequence[str], seed: int) -> str:
    """Describe components, images and people of the figure."""
    from_maps = [name for name in names if name in COMPONENTS]
    parts = ["embeddings"] if SPATIAL in names else []
    parts += [f"{' and '.join(from_maps)} of the backbone's last map"] if from_maps else []
    shown = subjects[0].embeddings
    protocols = " / ".join(dict.fromkeys(one.protocol for one in subjects))
    return (
        f"t-SNE of {' and of '.join(parts)}, {counted(len(shown), 'image')} of "
        f"{len(subjects[0].people)} people, "
        f"{protocols}, seed {seed}"
    )
