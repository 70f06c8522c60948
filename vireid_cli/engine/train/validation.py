"""Model selection on validation identities: measured after each epoch, the best checkpoint kept.

SYSU-MM01 trains on its 296 identities and selects on its 99: infrared camera 3 against visible 4 and 5,
mean mAP of ten single-shot galleries. Nothing is drawn from the training's own streams, so that a run
with selection takes the same steps as one without.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np

from vireid_cli.data import protocols
from vireid_cli.data.identity import identity_tokens
from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.store import Store
from vireid_cli.engine.checkpoint import Position
from vireid_cli.engine.embed import embed_rows
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Size

MEASURED = ("rank1", "mAP", "mINP")
BY = "mAP"
"""The metric that decides; of equal ones, the earlier epoch stays."""


class Selection:
    """Validation of one training, and the best that it has seen.

    Args:
        network: The network in training; left in eval mode.
        session: Device, precision; its listener is told each result.
        store: The prepared dataset.
        size: (height, width).
        keep: Writes the checkpoint ``best``.

    Raises:
        UsageError: The dataset has no validation identities.
    """

    def __init__(
        self,
        network: ReIdNetwork,
        session: Session,
        store: Store,
        size: Size,
        keep: Callable[[], None],
    ) -> None:
        self._network, self._session, self._keep = network, session, keep
        self._store, self._size = store, size
        self.plan = validation_plan(store)
        self.best: dict[str, Any] = {}

    def validate(self, at: Position) -> dict[str, float]:
        """Measure the network, and keep it where it is better than all before.

        Args:
            at: The position after the epoch.

        Returns:
            ``MEASURED`` metrics in [0, 1], means over the trials.
        """
        self._network.eval()
        rows, silent = self.plan.rows, replace(self._session, reporter=Reporter())
        embedded = embed_rows(self._network, silent, self._store, self._size, rows)
        summary = evaluate_plan(self.plan, embedded.widened(), rows).summary()
        found = {name: summary[name].mean for name in MEASURED}
        # a resumed run may measure an epoch again: the same metric, which changes nothing
        better = not self.best or found[BY] > self.best[BY] or at.epoch == self.best["epoch"]
        if better:
            self.best = {"epoch": at.epoch, **found}
            self._keep()
        self._session.reporter.say(
            f"epoch {at.epoch}: validation mAP {100 * found[BY]:.2f} %, Rank-1 {100 * found['rank1']:.2f} %"
            + (" (best so far)" if better else "")
        )
        return found


def validation_plan(store: Store, seen: Collection[str] = ()) -> EvaluationPlan:
    """Plan the validation of a dataset.

    Args:
        store: The dataset.
        seen: Hashes of the identities that the starting weights were trained on, as ``identity_tokens``.

    Raises:
        UsageError: It has no validation identities, or some of them were trained on before.
    """
    if not np.any(store.records.splits == "val"):
        raise UsageError(
            f"train.select is val, and {store.info.dataset} as prepared has no validation identities.",
            "Say --set train.select=last; only SYSU-MM01 has its own validation identities.",
        )
    plan = protocols.plans_for(store, Request(split="val"))[0]
    pids = np.unique(store.records.pids[plan.rows])
    known = set(seen).intersection(identity_tokens(store, pids))
    if known:
        raise UsageError(
            f"train.select is val, and backbone.weights were trained on {len(known)} of {len(pids)} "
            "validation identities: the selection would be on people whom they know.",
            "Start from a trunk trained on data.split: train, or say --set train.select=last.",
        )
    return plan
