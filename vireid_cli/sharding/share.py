"""Shares of a batch: each rank computes the rows of whole identities.

While a share is active (``splitting``), modules see the share's rows only. Batch norms then use the
statistics of the whole batch, dropout and other draws select the share's rows from draws for the whole
batch, and ``gather`` returns the rows of all ranks. Without an active share they act as in one process.

The share is a global of the module, not of a thread: autograd may repeat a forward pass in its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vireid_cli.counts import counted
from vireid_cli.errors import UsageError


class Rows(Protocol):
    """Rows of a batch."""

    @property
    def rows(self) -> slice | np.ndarray:
        """The rows, by their index in the whole batch."""
        ...

    @property
    def total(self) -> int:
        """Number B of rows of the whole batch."""
        ...


@dataclass(frozen=True, slots=True)
class RankShare:
    """The rows of a batch that one rank computes.

    Attributes:
        rank: This process's rank.
        counts: Rows of each rank, per view and modality; rank 0 has the first rows.
    """

    rank: int = 0
    counts: tuple[int, ...] = (0,)

    @staticmethod
    def of_identities(identities: int, images: int, rank: int, ranks: int) -> RankShare:
        """Distribute P identities × K images over ranks, whole identities each, as evenly as possible.

        Raises:
            UsageError: There are more ranks than identities.
        """
        if ranks > identities:
            raise UsageError(
                f"{counted(ranks, 'process')} share a batch of {identities} identities; each "
                "one needs an identity.",
                f"Start at most {counted(identities, 'process')}, or raise data.sampler.identities.",
            )
        least, more = divmod(identities, ranks)
        return RankShare(rank, tuple((least + (r < more)) * images for r in range(ranks)))

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return len(self.counts)

    @property
    def count(self) -> int:
        """Number b of this rank's rows."""
        return self.counts[self.rank]

    @property
    def total(self) -> int:
        """Number B of rows of the whole batch."""
        return sum(self.counts)

    @property
    def rows(self) -> slice:
        """This rank's rows in the whole batch."""
        first = sum(self.counts[: self.rank])
        return slice(first, first + self.count)

    def own(self, values: Tensor) -> Tensor:
        """Select this rank's rows: (k·B, …) → (k·b, …), k views or modalities one after another."""
        return values.unflatten(0, (-1, self.total))[:, self.rows].flatten(0, 1)


_active: RankShare | None = None
_repeating = False


def active() -> RankShare | None:
    """Return the active share; None if each module sees the whole batch."""
    return _active


@contextmanager
def splitting(share: RankShare | None) -> Iterator[None]:
    """Activate a share within the block; None or a share of one rank changes nothing."""
    global _active
    before = _active
    _active = share if share is not None and share.ranks > 1 else None
    try:
        yield
    finally:
        _active = before


def repeating() -> bool:
    """Whether a forward pass is repeated; batch norms then leave their running statistics unchanged."""
    return _repeating


@contextmanager
def repetition() -> Iterator[None]:
    """Mark the block as the repetition of a forward pass, for gradients."""
    global _repeating
    before = _repeating
    _repeating = True
    try:
        yield
    finally:
        _repeating = before


def gather(values: Tensor) -> Tensor:
    """Gather the rows of all ranks, with gradients: (k·b, …) → (k·B, …), the order of one process.

    All ranks must compute the same loss from the result. Its gradient is therefore known to each rank
    without communication: its own rows, times the number of ranks, because the gradients of the weights
    are averaged over the ranks.
    """
    share = active()
    if share is None:
        return values
    gathered: Tensor = _Gather.apply(values, share)
    return gathered


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, with gradients; the tensor itself without a share."""
    if active() is None:
        return values
    total: Tensor = _Sum.apply(values)
    return total


def whole_rows(rows: int) -> int:
    """Return the number k·B of rows of all ranks; this rank has ``rows`` = k·b of them."""
    share = active()
    return rows if share is None else rows // share.count * share.total


def drawn(draw: Callable[[int], Tensor], rows: int) -> Tensor:
    """Draw random numbers for rows, independently of the number of ranks.

    Args:
        draw: Function of a number of rows that returns draws for them, (rows, …).
        rows: Number k·b of rows of this rank.

    Returns:
        (rows, …), this rank's rows of draws for the whole batch.
    """
    share = active()
    if share is None:
        return draw(rows)
    return share.own(draw(whole_rows(rows)))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, share: RankShare) -> Tensor:
        """Return the rows of all ranks in the order of the batch."""
        ctx.share = share
        own = values.unflatten(0, (-1, share.count))  # (k, b, …)
        sent = own
        if share.count < max(share.counts):  # gloo gathers tensors of one size
            sent = own.new_zeros((own.shape[0], max(share.counts), *own.shape[2:]))
            sent[:, : share.count] = own
        sent = sent.contiguous()
        received = [torch.empty_like(sent) for _ in share.counts]
        if values.element_size() == 2:  # gloo has no half precision; the bytes need no arithmetic
            dist.all_gather([part.view(torch.uint8) for part in received], sent.view(torch.uint8))
        else:
            dist.all_gather(received, sent)
        parts = [part[:, :count] for part, count in zip(received, share.counts, strict=True)]
        return torch.cat(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the own rows."""
        share: RankShare = ctx.share
        return share.own(gradients[0]) * share.ranks, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Add up a tensor over the ranks."""
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Each rank continues with its own rows, so the gradient is the sum over all ranks.
        """Add up the gradients over the ranks."""
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
