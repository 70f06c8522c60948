"""A run folder together with its session, as the engine's methods take and return it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vireid_cli.data.identity import is_prepared
from vireid_cli.engine.model import Model, load_model
from vireid_cli.engine.prepare import preparation_hint
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.results import run as runs
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


def find_run(run: RunName | None, session: Session) -> Run:
    """Return the run with this folder or name.

    Args:
        run: A run, the path of its folder, or the folder's name; None: the newest run.
        session: Its folder of runs is searched, and it becomes the run's session.

    Raises:
        UsageError: The run does not exist; the error lists the newest ones.
    """
    if isinstance(run, Run):
        return run if run.session is not None else replace(run, session=session)
    if isinstance(run, RunFolder):
        return Run(run.folder, session)
    try:
        return Run(runs.find(run, runs=session.runs_dir).folder, session)
    except UsageError as error:
        if run is not None or is_prepared("sysu", session.data_dir):
            raise
        hint = f"{error.hint}\n{preparation_hint('sysu', session)}"
        raise UsageError(error.message, hint) from error
