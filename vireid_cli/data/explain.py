"""Descriptions of protocols in sentences, from the settings alone, without data or a network."""

from __future__ import annotations

from collections.abc import Callable

from vireid_cli.counts import counted
from vireid_cli.data.permutation import TRIALS
from vireid_cli.data.protocols import check, fars_of, rule_of
from vireid_cli.data.protocols.llcm import DEFAULT as LLCM_DEFAULT
from vireid_cli.data.protocols.request import BOTH_DIRECTIONS, Direction, Request
from vireid_cli.data.sources import applies_exif, load_source
from vireid_cli.metrics.camera_rules import EXPLANATIONS
from vireid_cli.metrics.verification import FAR_READINGS

_SIDES: dict[Direction, str] = {
    "v2i": "visible images query infrared ones (v2i)",
    "i2v": "infrared images query visible ones (i2v)",
}


def explain(dataset: str, request: Request) -> list[str]:
    """Describe an evaluation with these settings, one or two sentences per line.

    Raises:
        UsageError: No source has this name, or its protocol does not have a setting.
    """
    check(dataset, request)
    rule, merged = rule_of(dataset)
    lines = _FAMILIES[load_source(dataset).PROTOCOL](request)
    lines.append(f"Camera rule: {EXPLANATIONS[rule]}.")
    lines.append(
        "CMC counts identities: only the best image of each identity counts in a ranking."
        if merged
        else "CMC counts images."
    )
    lines += [
        "Rank-k is the share of queries with a correct match of rank at most k. AP is the mean, over a "
        "query's matches, of the precision at the match's rank; mINP is the mean of matches / rank of the "
        "last match.",
        "Queries without a legal match are excluded from all means. Equal scores rank in gallery order.",
    ]
    if fars := fars_of(dataset):
        shown = ", ".join(f"{far:.1%}" for far in fars)
        lines.append(
            f"Verification rate at FAR {shown}: share of genuine pairs accepted at "
            f"{FAR_READINGS[request.far or 'not-exceeded']}. False acceptance is counted over all "
            "query-gallery pairs, without interpolation."
        )
    lines.append(_decoding(dataset))
    lines.append(
        "Similarity is the inner product of embeddings of unit length (cosine), in float64. Re-ranking and "
        "test-time averaging are off by default; their results have separate rows."
    )
    threshold = " Each replicate computes its own verification threshold." if fars else ""
    lines.append(
        "Intervals: bootstrap over identities with all their queries; galleries are not resampled."
        + threshold
    )
    return lines


def _decoding(dataset: str) -> str:
    """Describe the default decoding of image files."""
    orientation = (
        "EXIF orientation is applied by default (prepare --no-exif ignores it)"
        if applies_exif(dataset)
        else "EXIF orientation is ignored by default, as in published code (prepare --exif applies it)"
    )
    return (
        f"Images: {orientation}. 16-bit images that use less than half of their range are scaled to 0-255: "
        "by default by one range per modality, from the 0.1 % to the 99.9 % percentile of all samples "
        "(prepare --depth). The fingerprint of an evaluation states the rules of its prepared store."
    )


def _sysu(request: Request) -> list[str]:
    if request.split == "val":
        return [
            "Validation identities of SYSU-MM01 (99): all infrared images of camera 3 are queries; the "
            "gallery is drawn from visible cameras 4 and 5.",
            _draw(request),
        ]
    modes = {"all": "all-search: visible cameras 1, 2, 4, 5", "indoor": "indoor-search: visible cameras 1, 2"}
    shots = " and ".join(
        "1 image (single-shot)" if n == 1 else f"{counted(n, 'image')} (multi-shot)"
        for n in request.shots or (1,)
    )
    return [
        "Test identities of SYSU-MM01 (96): all infrared images (cameras 3 and 6) are queries.",
        f"Gallery of {'; '.join(modes[mode] for mode in request.modes or ('all', 'indoor'))}.",
        f"For each identity and camera, {shots} are drawn.",
        _draw(request),
    ]


def _draw(request: Request) -> str:
    trials = TRIALS if request.trials is None else request.trials
    if request.draw == "official":
        return (
            "Draw 'official': the first numbers of each trial's row in rand_perm_cam.mat, "
            f"{counted(trials, 'trial')}. "
            "The result is the mean over trials."
        )
    return (
        f"Draw 'seeded', as in most Python code: random.seed(trial) for trial 0 to {trials - 1}; for each "
        "identity, then each camera, random.choice of the sorted files (for ten shots random.sample, which "
        "is not published code). The result is the mean over trials."
    )


def _regdb(request: Request) -> list[str]:
    trial = f"trial {request.trial}" if request.trial is not None else "the trial of the model's training"
    return [
        f"RegDB, {trial} of ten: its 206 test identities, all ten images of each modality on both sides.",
        f"Direction: {_directions(request)}.",
        "Each trial has its own model: the training set of one trial contains test identities of others. "
        "Papers report the mean over ten models: vireid evaluate RUN1 … RUN10, or --trial all.",
    ]


def _llcm(request: Request) -> list[str]:
    protocol = request.llcm or LLCM_DEFAULT
    trials = TRIALS if request.trials is None else request.trials
    drawn = f"random.seed(trial) for trial 0 to {trials - 1}"
    words = {
        "llcm-train": "all test images of one modality query one drawn image of each identity and camera of "
        f"the other ({drawn}). The result is the mean over trials.",
        "llcm-release": "the protocol of papers. Infrared to visible: all infrared test images query one "
        "drawn visible image of each identity and camera. Visible to infrared, as in the dataset's released "
        f"test code: the drawn infrared images query all visible images ({drawn}). The result is the mean "
        "over trials.",
        "llcm-full": "all test images of one modality query all of the other; nothing is drawn.",
    }
    return [f"LLCM, protocol '{protocol}': {words[protocol]}", f"Direction: {_directions(request)}."]


def _faces(request: Request) -> list[str]:
    return [
        "Faces: every infrared image of the test people queries all visible gallery images; nothing is "
        "drawn. The protocol files faces/*.txt or the list file define the test people. The metrics are "
        "comparable with those of papers only with the papers' lists, not with generated ones."
    ]


def _folder(request: Request) -> list[str]:
    directions = _directions(request) if request.directions else "each with images on both sides"
    return [f"A folder of your own: all query images against all gallery images. Direction: {directions}."]


def _directions(request: Request) -> str:
    return "; ".join(_SIDES[direction] for direction in request.directions or BOTH_DIRECTIONS)


_FAMILIES: dict[str, Callable[[Request], list[str]]] = {
    "sysu": _sysu,
    "regdb": _regdb,
    "llcm": _llcm,
    "faces": _faces,
    "folder": _folder,
}
