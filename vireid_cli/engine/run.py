"""A run with the session that it is used in: what the engine returns and takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vireid_cli.engine.model import Model, load_model
from vireid_cli.engine.session import Session
from vireid_cli.results.run import RunFolder


@dataclass(frozen=True, slots=True)
class Run(RunFolder):
    """A run folder whose network can be loaded.

    Attributes:
        session: Device, precision and folders that ``load`` uses; None: chosen by ``Session.choose``.
    """

    session: Session | None = field(default=None, compare=False, repr=False)

    def load(self, session: Session | None = None) -> Model:
        """Load the network of the checkpoint that the recipe selects: the last, or the best on val.

        Args:
            session: Device and precision; None: those of the run's own session.

        Raises:
            UsageError: The run has no checkpoint.
            DataError: The checkpoint is damaged or does not fit the recipe.
        """
        return load_model(self, session or self.session or Session.choose())
