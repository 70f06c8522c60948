"""TensorBoard: event files in the folder ``tensorboard`` of the run.

Events are written in this thread, not by TensorBoard's own, which prints a traceback if the disk is full.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from vireid_cli.engine.loggers.backend import Numbers, Picture, Recorded, RunDetails, State

FOLDER = "tensorboard"
FLUSH_SECONDS = 5.0
"""Longest time that rows stay in memory."""


class TensorBoard:
    """Writer of TensorBoard's event files. Numbers have single precision there."""

    def __init__(self) -> None:
        self._file: IO[bytes]
        self._records: Any
        self._flushed = 0.0

    def open(self, details: RunDetails, until: int | None) -> Recorded:
        """Continue the run: copy the events up to step ``until`` to a new file, and remove the old files."""
        from torch.utils.tensorboard import summary

        folder = details.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        old = sorted(path for path in folder.glob("events.out.tfevents.*") if path.is_file())
        kept = [event for path in old for event in _events(path) if until is None or event.step <= until]
        self._create(folder)
        if until is not None:
            for event in kept:
                self._records.write(event.SerializeToString())
            self._flush()
            for path in old:
                path.unlink()
        if not old:
            self._describe(details, summary)
        return {
            (value.tag, event.step): number
            for event in kept
            for value in event.summary.value
            for number in _number(value)
        }

    def write(self, rows: Sequence[Numbers]) -> None:
        """Write one event per row."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        for row in rows:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.values.items()]
            self._write(Summary(value=values), row.step, row.time)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def draw(self, picture: Picture) -> None:
        """Write an image."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = Image.open(io.BytesIO(picture.png)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=picture.png)
        value = Summary.Value(tag=f"figures/{picture.name}", image=image)
        self._write(Summary(value=[value]), picture.step, time.time())
        self._flush()

    def close(self, state: State) -> None:
        """Close the file."""
        self._flush()
        self._file.close()

    def _create(self, folder: Path) -> None:
        """Create an event file, and write its first event."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def _describe(self, details: RunDetails, summary: Any) -> None:
        """Write the recipe as text and as parameters of the HParams page, and the tags as a table."""
        values = {
            k: v if isinstance(v, bool | int | float) else str(v) for k, v in details.parameters.items()
        }
        table = "\n".join(
            ["| name | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in details.tags.items())]
        )
        recipe = "".join(f"    {line}\n" for line in details.recipe.splitlines())
        now = time.time()
        for part in (
            *summary.hparams(values, {}),
            summary.text("recipe", recipe),
            summary.text("run", table),
        ):
            self._write(part, 0, now)
        self._flush()

    def _write(self, summary: Any, step: int, at: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=at, step=step, summary=summary).SerializeToString())

    def _flush(self) -> None:
        self._file.flush()
        self._flushed = time.monotonic()


def _events(path: Path) -> Iterator[Any]:
    """Yield the events with a summary in a file, up to a damaged one, such as one cut by a kill."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.errors import DataLossError

    try:
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            if event.HasField("summary"):
                yield event
    except DataLossError:
        return


def _number(value: Any) -> list[float]:
    """The number of a scalar; empty for texts, images and parameters."""
    return [float(value.simple_value)] if value.WhichOneof("value") == "simple_value" else []
