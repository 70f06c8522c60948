"""The two image modalities. It imports no array library: the command line reads it at start-up."""

from __future__ import annotations

from enum import StrEnum


class Modality(StrEnum):
    """The two image modalities."""

    VISIBLE = "visible"
    INFRARED = "infrared"

    @property
    def code(self) -> int:
        """Integer code in arrays: 0 for visible, 1 for infrared."""
        return 0 if self is Modality.VISIBLE else 1

    @property
    def other(self) -> Modality:
        """The opposite modality."""
        return Modality.INFRARED if self is Modality.VISIBLE else Modality.VISIBLE

    @staticmethod
    def of(code: int) -> Modality:
        """Convert a ``code`` to its modality."""
        return Modality.VISIBLE if int(code) == 0 else Modality.INFRARED
