"""Verification of exported files against PyTorch, with the messages of all formats."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from math import inf

import numpy as np
import torch

from vireid_cli.errors import VireidError
from vireid_cli.exporters.program import Program

LIMIT = 1e-4
"""Maximum absolute difference of embedding values between PyTorch and a file in float32."""

Runner = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Function of a file in its runtime: arrays of the inputs → arrays of the outputs."""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress output, logs and warnings of the exporter and the tracer; errors are still raised."""
    disabled, chatter = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(disabled)


def verified_difference(
    program: Program, start: Callable[[], Runner], name: str, runtime: str, limit: float = LIMIT
) -> float:
    """Largest absolute difference between a file in its runtime and PyTorch.

    Args:
        program: Program of the file.
        start: Opens the file in its runtime.
        name: Name of the file, for messages.
        runtime: Name of the runtime, for messages.
        limit: Maximum difference.

    Raises:
        VireidError: The runtime rejects the file or a batch, or the difference exceeds ``limit``.
    """
    try:
        largest = largest_difference(program, start())
    except Exception as error:  # errors of runtimes have no common base class
        raise VireidError(
            f"{name} does not run in {runtime}: {first_cause(error)}",
            "The usual cause is a fixed batch size in the network. No file was written.",
        ) from error
    if not largest <= limit:
        deviation = "NaN or infinity" if largest == inf else f"{largest:.3g}"
        raise VireidError(
            f"{name} differs from PyTorch's embeddings by {deviation}; the limit is {limit:g}. "
            "No file was written.",
            "Check the network for random operations, export-dependent code and NaN weights."
            + (" A method that ignores layers.choice needs --split." if program.layout == "single" else ""),
        )
    return largest


def largest_difference(program: Program, run: Runner) -> float:
    """Largest absolute difference between the outputs of a file and PyTorch, over all cases.

    A difference of NaN counts as infinity.
    """
    largest = 0.0
    for case in program.cases():
        outputs = run([tensor.numpy() for tensor in case.inputs])
        for expected, output in zip(case.expected, outputs, strict=True):
            difference = (expected.double() - torch.from_numpy(np.asarray(output)).double()).abs().max()
            largest = max(largest, inf if difference.isnan() else float(difference))
    return largest


def first_cause(error: BaseException) -> str:
    """Return the first two lines of the original error of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__
