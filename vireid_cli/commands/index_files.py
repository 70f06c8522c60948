"""Files of embeddings for ``vireid index``: reading, adding, and the place of their model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.search.open import AnyIndex


def read_files(paths: list[Path]) -> list[Any]:
    """Read and check all files, which are of one model, before an index changes."""
    from vireid_cli.embedding_files import read_embeddings
    from vireid_cli.embedding_files.origin import refuse_other_model

    if len(set(paths)) != len(paths):
        raise UsageError("a file of embeddings is given twice.")
    contents = [read_embeddings(path) for path in paths]
    for content in contents[1:]:
        refuse_other_model(
            contents[0].origin.fingerprint,
            content.origin.fingerprint,
            our_name=str(contents[0].path),
            their_name=str(content.path),
        )
    return contents


def add_files(index: AnyIndex, contents: list[Any], *, model: str | None, replace: bool) -> None:
    """Add the content of files and print their counts."""
    from vireid_cli.commands.console import print_line, print_lines
    from vireid_cli.commands.index_output import structure_lines
    from vireid_cli.search.files import record_columns

    for content in contents:
        _warn_other_pillow(index, content)
        added = index.add(
            content.features,
            record_columns(content),
            fingerprint={**content.origin.fingerprint, "pillow": content.origin.pillow},
            source=str(content.path),
            root=content.origin.root,
            model=model,
            replace=replace,
            progress=progress_of("adding"),
            build_progress=progress_of("building the structure"),
        )
        print_line(
            f"{content.path}: added {added.added:,}, replaced {added.replaced:,}, "
            f"skipped {added.skipped:,} that the index has"
        )
    print_lines(structure_lines(index.info()))


def _warn_other_pillow(index: AnyIndex, content: Any) -> None:
    """Warn if two versions of Pillow resized the images of an index and of a file."""
    from vireid_cli.commands.console import ConsoleReporter
    from vireid_cli.data.resize import pillow_warning

    known = index.fingerprint or {}
    recorded = known.get("pillow") if known.get("resize") == "lanczos" else None
    warning = pillow_warning(content.origin.pillow, str(content.path), recorded or "")
    if warning:
        ConsoleReporter().warn(warning)


def model_place(model: Path | None) -> str | None:
    """The model's absolute path, so that searches from other folders load it; a run's bare name stays.

    Raises:
        UsageError: A path, or the name of an exported file, that does not exist.
    """
    if model is None:
        return None
    if model.exists():
        return str(model.absolute())
    from vireid_cli.engine.exported_model import ENDINGS

    if len(model.parts) > 1 or model.suffix.lower() in ENDINGS:
        raise UsageError(
            f"--model {model} does not exist.", "Give a run's folder or name, or an exported file."
        )
    return str(model)


def progress_of(job: str) -> Any:
    """Return a callback that prints progress."""
    from vireid_cli.commands.console import ConsoleReporter

    reporter = ConsoleReporter()
    return lambda done, total: reporter.advance(job, done, total)
