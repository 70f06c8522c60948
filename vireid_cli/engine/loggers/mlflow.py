"""MLflow: metrics, parameters, tags and figures of a run, on a server or in a local SQLite file."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vireid_cli.engine.loggers.backend import Numbers, Picture, Recorded, RunDetails, State
from vireid_cli.engine.loggers.identity import read_identity, write_identity
from vireid_cli.errors import DataError

STORE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
"""Names in the folder of runs, used unless ``MLFLOW_TRACKING_URI`` is set."""

VALUE_LENGTH = 500
"""Longest value of a parameter in old servers; the whole recipe is an artifact."""

MOST_METRICS, MOST_PARAMETERS = 1000, 100
"""Largest numbers in one request."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Settings that apply unless the user sets others: no statistics about the use, a server may fail fast."""

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflow:
    """Client of MLflow's tracking store."""

    def __init__(self) -> None:
        self._client: Any
        self._id = ""

    def open(self, details: RunDetails, until: int | None) -> Recorded:
        """Create a run, or continue the one that the run folder names."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        home = details.folder.parent.resolve()
        address = os.environ.get("MLFLOW_TRACKING_URI") or _address(home)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # one line per attempt
        self._client = MlflowClient(tracking_uri=address)
        known = read_identity(details.folder, "mlflow")
        if known.get("store") == address:
            try:
                run = self._client.get_run(known["run"])
            except MlflowException:
                run = None  # deleted
            if run is not None:
                self._id = known["run"]
                if until is not None:
                    self._client.update_run(self._id, status="RUNNING")
                return self._recorded(list(run.data.metrics))
        self._create(details, home if address.startswith("sqlite:") else None)
        write_identity(details.folder, "mlflow", {"store": address, "run": self._id})
        return {}

    def write(self, rows: Sequence[Numbers]) -> None:
        """Write the metrics of all rows, up to a thousand at once."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, round(1000 * row.time), row.step)
            for row in rows
            for name, value in row.values.items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + MOST_METRICS])

    def draw(self, picture: Picture) -> None:
        """Save a figure as the artifact ``figures/NAME.png``."""
        self._save(f"figures/{picture.name}.png", picture.png)

    def close(self, state: State) -> None:
        """Set the run's status; attached commands leave it."""
        if state in _STATUS:
            self._client.set_terminated(self._id, _STATUS[state])

    def _create(self, details: RunDetails, home: Path | None) -> None:
        """Create the run with its parameters, tags and recipe."""
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or details.group
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            place = None if home is None else (home / ARTIFACTS).as_uri()
            try:
                number = self._client.create_experiment(name, artifact_location=place)
            except MlflowException:  # another process has created it
                number = self._client.get_experiment_by_name(name).experiment_id
        else:
            number = experiment.experiment_id
        tags = dict(details.tags)
        if "commit" in tags:
            tags["mlflow.source.git.commit"] = tags["commit"]
        self._id = self._client.create_run(number, run_name=details.name, tags=tags).info.run_id
        params = [Param(key, str(value)[:VALUE_LENGTH]) for key, value in details.parameters.items()]
        for start in range(0, len(params), MOST_PARAMETERS):
            self._client.log_batch(self._id, params=params[start : start + MOST_PARAMETERS])
        self._save("recipe.yaml", details.recipe.encode("utf-8", "surrogateescape"))

    def _recorded(self, names: Sequence[str]) -> Recorded:
        """Read all metrics of the run."""
        return {
            (name, metric.step): metric.value
            for name in names
            for metric in self._client.get_metric_history(self._id, name)
        }

    def _save(self, name: str, content: bytes) -> None:
        """Save an artifact."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / file
            path.write_bytes(content)
            self._client.log_artifact(self._id, str(path), folder or None)


def _address(home: Path) -> str:
    """Return the address of the local store.

    Raises:
        DataError: The path has a question mark, which ends an address: the store would be in another place.
    """
    if "?" in str(home):
        raise DataError(f"its store can't be in {home}: '?' in the path; set MLFLOW_TRACKING_URI")
    return f"sqlite:///{home / STORE}"
