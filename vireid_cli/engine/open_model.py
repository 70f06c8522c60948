"""Models by name: a run, an imported checkpoint, or an exported file."""

from __future__ import annotations

from pathlib import Path

from vireid_cli import files
from vireid_cli.engine.exported_model import ENDINGS, load_exported
from vireid_cli.engine.model import Model
from vireid_cli.engine.run import RunName, find_run
from vireid_cli.engine.session import Session


def is_exported(subject: RunName | None) -> bool:
    """Whether a subject is the path of an exported file, by its extension."""
    return isinstance(subject, (str, Path)) and Path(subject).suffix.lower() in ENDINGS


def open_model(subject: RunName | None, session: Session) -> Model:
    """Load a model.

    Args:
        subject: A run, its folder or name, or the path of an exported file (``.onnx`` or ``.pt2``); None: the
            newest run.
        session: Device, precision, folder of runs and reporter.

    Raises:
        UsageError: The run or the file does not exist, or the run has no checkpoint.
        MissingExtra: onnxruntime is not installed.
        DataError: The checkpoint or the file is damaged.
    """
    if isinstance(subject, (str, Path)) and is_exported(subject):
        return load_exported(files.expand(Path(subject)), session)
    return find_run(subject, session).load(session)
