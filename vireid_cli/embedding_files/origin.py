"""Origin of the embeddings in a file: the model's fingerprint, and the rules of the computation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vireid_cli import documents
from vireid_cli.errors import DataError, OtherModel

FORM: Literal["vireid embeddings"] = "vireid embeddings"
VERSION: Literal[1] = 1
HINT = "Create the file again: vireid embed RUN --images FOLDER --out FILE.npz"

COMPARED = ("weights_sha256", "size", "resize", "decoder", "embedding")
"""Keys of a fingerprint that must be equal for two embeddings to be comparable.

The other keys (recipe, method, precision, file) describe the model: they differ between a run and its
exported file, and the embeddings of both are comparable.
"""

ModalityRule = Literal["visible", "infrared", "auto", "list"]
"""Rule of the modalities: one for all images, by equality of the colour channels, or a column of the list."""


@dataclass(frozen=True, slots=True)
class EmbeddingOrigin:
    """Model and rules that computed the embeddings of a file.

    Attributes:
        fingerprint: Settings that affect the embeddings, as JSON values; see ``COMPARED``.
        dimension: Number of columns of an embedding, D.
        modality_rule: Rule of the modalities.
        tolerance: Largest difference between the colour channels of an infrared image, in grey levels; None
            unless the rule is ``auto``.
        root: Folder of relative paths, absolute.
        plan: Hash of all inputs: the images, the columns, the model and the rules.
        skipped: Images that can't be read, as (path, reason).
        pillow: Version of the Pillow that resized the images; empty in files of earlier versions.
    """

    fingerprint: Mapping[str, Any]
    dimension: int
    modality_rule: ModalityRule
    tolerance: float | None
    root: str
    plan: str
    skipped: tuple[tuple[str, str], ...] = ()
    pillow: str = ""

    def text(self, kinds: Mapping[str, str]) -> str:
        """Return the origin and the kinds of further columns as JSON text, for ``parse``."""
        content = {"form": FORM, "version": VERSION, **asdict(self), "columns": dict(kinds)}
        return json.dumps(documents.sealed(content), allow_nan=False)


class _Content(BaseModel):
    """Form of the JSON text of an origin."""

    model_config = ConfigDict(extra="forbid", strict=True)

    form: Literal["vireid embeddings"]
    version: Literal[1]
    fingerprint: dict[str, Any]
    dimension: Annotated[int, Field(ge=1, le=1 << 20)]
    modality_rule: ModalityRule
    tolerance: Annotated[float, Field(ge=0.0, le=255.0)] | None
    root: str
    plan: str
    skipped: list[tuple[str, str]]
    pillow: str = ""
    columns: dict[str, Literal["int", "float", "text"]]
    sha256: str


def parse(text: str, name: str) -> tuple[EmbeddingOrigin, dict[str, str]]:
    """Parse the JSON text of an origin.

    Args:
        text: Text of ``EmbeddingOrigin.text``.
        name: Name of the file, for errors.

    Returns:
        The origin, and the kind (``int``, ``float`` or ``text``) of each further column.

    Raises:
        DataError: The text is damaged, of another form, or edited.
    """
    content = documents.parse_json(text, name, hint=HINT)
    if isinstance(content, dict) and content.get("form") == FORM and content.get("version", 0) != VERSION:
        raise DataError(
            f"{name} is of version {documents.shorten(str(content.get('version')))} of the format; this "
            f"vireid reads version {VERSION}.",
            "Install a newer vireid, or create the file again with this one.",
        )
    checked = documents.check_form(_pairs(content), _Content, name, hint=HINT)
    documents.check_seal(content, name, hint=HINT)
    values = {key: getattr(checked, key) for key in EmbeddingOrigin.__slots__}
    return EmbeddingOrigin(**{**values, "skipped": tuple(checked.skipped)}), dict(checked.columns)


def _pairs(content: Any) -> Any:
    """The content with the lists of ``skipped`` as pairs: JSON has no tuples."""
    if not isinstance(content, dict) or not isinstance(content.get("skipped"), list):
        return content
    pairs = [tuple(entry) if isinstance(entry, list) else entry for entry in content["skipped"]]
    return {**content, "skipped": pairs}


def fingerprint_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """List the differences that make embeddings of two models incomparable, one text each.

    Args:
        ours, theirs: Fingerprints.

    Returns:
        Texts such as ``size: 288x144 and 96x48``; empty if the embeddings are comparable.
    """
    return [
        f"{key}: {_shown(ours.get(key))} and {_shown(theirs.get(key))}"
        for key in COMPARED
        if ours.get(key) != theirs.get(key)
    ]


def refuse_other_model(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, our_name: str, their_name: str
) -> None:
    """Refuse embeddings of another model.

    Raises:
        OtherModel: The fingerprints differ; the message lists the differences.
    """
    if lines := fingerprint_differences(ours, theirs):
        listed = "".join(f"\n  {line}" for line in lines)
        raise OtherModel(
            f"{their_name} has embeddings of another model than {our_name}:{listed}",
            "Distances between embeddings of two models mean nothing: embed both with the same model.",
        )


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    return documents.shorten(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
