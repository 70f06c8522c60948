"""A run folder together with its session, as the engine's methods take and return it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vireid_cli.engine.model import Model, load_model
from vireid_cli.engine.session import Session
from vireid_cli.results.run import RunFolder

RunName = RunFolder | str | Path
"""A run, the path of its folder, or the folder's name in the folder of runs."""


@dataclass(frozen=True, slots=True)
class Run(RunFolder):
    """A run folder with a session to load its network.

    Attributes:
        session: Device, precision and folders for ``load``; None: those of ``Session.choose``.
    """

    session: Session | None = field(default=None, compare=False, repr=False)

    def load(self, session: Session | None = None) -> Model:
        """Load the network of the checkpoint that the recipe selects: the last one, or the best on val.

        Args:
            session: Device and precision; None: those of the run's session.

        Raises:
            UsageError: The run has no checkpoint.
            DataError: The checkpoint is damaged or does not fit the recipe.
        """
        return load_model(self, session or self.session or Session.choose())
