"""Model selection: validate after each epoch, and save the best checkpoint.

SYSU-MM01 trains on its 296 training identities and validates on its 99 validation identities: infrared
camera 3 against visible cameras 4 and 5, mean mAP of ten single-shot galleries. Validation draws no
random numbers of the training, so a run takes the same steps with and without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data import protocols
from vireid_cli.data.identity import known_identities
from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.store import Store
from vireid_cli.engine.checkpoint import Position
from vireid_cli.engine.embed import embed_rows
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.average import WeightAverage
from vireid_cli.errors import UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Size

MEASURED = ("rank1", "mAP", "mINP")
BY = "mAP"
"""Metric that ranks the epochs; of equal epochs the earlier one counts as the best."""


class Selection:
    """Validation of one training, and its best result so far.

    Args:
        network: The network in training; validation leaves it in eval mode.
        session: Device and precision; its reporter receives each result.
        store: The prepared dataset.
        size: (height, width) in pixels.
        save_best: Saves the checkpoint ``best``.
        patience: Epochs without a better validation after which ``exhausted`` is true; 0: never.
        average: Average of the weights, validated beside the weights; None: there is none.

    Raises:
        UsageError: The dataset has no validation identities.
    """

    def __init__(
        self,
        network: ReIdNetwork,
        session: Session,
        store: Store,
        size: Size,
        save_best: Callable[[], None],
        patience: int = 0,
        average: WeightAverage | None = None,
    ) -> None:
        self._network, self._session, self._save_best = network, session, save_best
        self._store, self._size = store, size
        self.plan = validation_plan(store)
        self.best: dict[str, Any] = {}
        self.exhausted = False
        self._patience, self._average = patience, average

    def validate(self, at: Position) -> dict[str, float]:
        """Evaluate the network on the validation identities, and save it if it is the best so far.

        Args:
            at: Position after the epoch.

        Returns:
            The metrics ``MEASURED`` in [0, 1], means over the trials; those of the average of the weights,
            if there is one, as ``ema_mAP`` etc.
        """
        self._network.eval()
        metrics = self._metrics()
        averaged: dict[str, float] = {}
        if self._average:
            with self._average.applied():
                averaged = {f"ema_{name}": value for name, value in self._metrics().items()}
        # A resumed run may validate the best epoch a second time, with the same result.
        better = not self.best or metrics[BY] > self.best[BY] or at.epoch == self.best["epoch"]
        if better:
            self.best = {"epoch": at.epoch, **metrics}
            self._save_best()
        self.exhausted = bool(self._patience) and at.epoch - self.best["epoch"] >= self._patience
        beside = f", of averaged weights {100 * averaged['ema_mAP']:.2f} %" if averaged else ""
        self._session.reporter.info(
            f"epoch {at.epoch}: validation mAP {100 * metrics[BY]:.2f} %{beside}, "
            f"Rank-1 {100 * metrics['rank1']:.2f} %" + (" (best so far)" if better else "")
        )
        if self.exhausted:
            self._session.reporter.info(
                f"no better validation in {counted(self._patience, 'epoch')}: the training ends "
                "(train.patience)"
            )
        return metrics | averaged

    def _metrics(self) -> dict[str, float]:
        """Evaluate the network's present weights."""
        rows, silent = self.plan.rows, replace(self._session, reporter=Reporter())
        embedded = embed_rows(self._network, silent, self._store, self._size, rows)

        def evaluated() -> dict[str, float]:
            """Metrics of the embeddings."""
            summary = evaluate_plan(self.plan, embedded, rows).summary()
            return {name: summary[name].mean for name in MEASURED}

        return self._session.runtime.world.broadcast(evaluated)


def validation_plan(store: Store, seen: Collection[str] = ()) -> EvaluationPlan:
    """Return the plan of a dataset's validation.

    Args:
        store: The prepared dataset.
        seen: Hashes of the training identities of the starting weights, as ``identity_tokens``.

    Raises:
        UsageError: The dataset has no validation identities, or ``seen`` contains some of them.
    """
    if not np.any(store.records.splits == "val"):
        raise UsageError(
            f"train.select is val, but the prepared {store.info.dataset} has no validation identities.",
            "Set train.select=last; only SYSU-MM01 has validation identities of its own.",
        )
    plan = protocols.plans_for(store, Request(split="val"))[0]
    pids = np.unique(store.records.pids[plan.rows])
    leaked = int(known_identities(store, pids, seen).sum())
    if leaked:
        raise UsageError(
            f"train.select is val, but {leaked} of {len(pids)} validation identities are training "
            "identities of backbone.weights.",
            "Start from a trunk trained on data.split: train, or set train.select=last.",
        )
    return plan
