"""wandb: numbers, configuration and figures of a run; offline, unless the user sets ``WANDB_MODE``.

Offline runs are in the folder ``wandb`` of the run; ``wandb sync`` uploads them.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Sequence
from typing import Any

from vireid_cli.engine.loggers.backend import RESULTS, Numbers, Picture, Recorded, RunDetails, State
from vireid_cli.engine.loggers.identity import read_identity, write_identity

_EXIT_CODES = {"finished": 0, "attached": 0, "failed": 1, "interrupted": 130}


class Wandb:
    """A run of wandb."""

    def __init__(self) -> None:
        self._run: Any
        self._last = 0

    def open(self, details: RunDetails, until: int | None) -> Recorded:
        """Start a run, or continue the one that the run folder names."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        known = read_identity(details.folder, "wandb")
        number = known.get("run") or uuid.uuid4().hex[:12]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "vireid",
            group=details.group,
            name=details.name,
            id=number,
            resume="allow",
            mode=os.environ.get("WANDB_MODE") or "offline",  # type: ignore[arg-type]
            dir=str(details.folder),
            config={**details.parameters, "environment": dict(details.tags)},
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
            ),
        )
        write_identity(details.folder, "wandb", {"run": number})
        recorded = _recorded(details, number)
        self._last = max((step for _, step in recorded), default=0)
        return recorded

    def write(self, rows: Sequence[Numbers]) -> None:
        """Write history; results of evaluations become the run's summary."""
        for row in rows:
            results = {name: value for name, value in row.values.items() if name.startswith(RESULTS)}
            others = {name: value for name, value in row.values.items() if name not in results}
            if others:
                self._run.log(others, step=row.step)
                self._last = max(self._last, row.step)
            self._run.summary.update(results)

    def draw(self, picture: Picture) -> None:
        """Write an image at the last step."""
        import wandb
        from PIL import Image

        image = wandb.Image(Image.open(io.BytesIO(picture.png)), caption=picture.name)
        self._last = max(self._last, picture.step)
        self._run.log({f"figures/{picture.name}": image}, step=self._last)

    def close(self, state: State) -> None:
        """End the run."""
        self._run.finish(exit_code=_EXIT_CODES[state])


def _recorded(details: RunDetails, number: str) -> Recorded:
    """Read the numbers of the run's offline logs."""
    from vireid_cli.engine.loggers.wandb_file import history

    numbers: dict[tuple[str, int], float] = {}
    for path in sorted(details.folder.glob(f"wandb/*/run-{number}.wandb")):
        numbers |= history(path)
    return numbers
