"""The engine's verbs on exported files: write them, and measure their latency and size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vireid_cli.engine import artifacts, export, export_backbone
from vireid_cli.engine.artifacts import ArtifactCost
from vireid_cli.engine.dataset_verbs import DatasetVerbs
from vireid_cli.engine.export import ExportResult, Quantisation
from vireid_cli.engine.run import Run, RunName, find_run
from vireid_cli.exporters.openvino import OpenvinoPrecision
from vireid_cli.exporters.program import Layout
from vireid_cli.types import Modality


class ExportVerbs(DatasetVerbs):
    """Verbs on exported files, with one session."""

    def export(
        self,
        run: RunName | None = None,
        *,
        layout: Layout = "single",
        preprocessing: bool = False,
        quantise: Quantisation | None = None,
        out: Path | None = None,
    ) -> ExportResult:
        """Export a run's network to ONNX and verify it; see ``export.export_run``."""
        return export.export_run(
            self.find(run),
            self.session,
            layout=layout,
            preprocessing=preprocessing,
            quantise=quantise,
            out=out,
        )

    def export_torch(
        self,
        run: RunName | None = None,
        *,
        layout: Layout = "single",
        preprocessing: bool = False,
        compiled: bool = False,
        out: Path | None = None,
    ) -> ExportResult:
        """Export a run's network as a program of PyTorch; see ``export.export_torch_run``."""
        return export.export_torch_run(
            self.find(run),
            self.session,
            layout=layout,
            preprocessing=preprocessing,
            compiled=compiled,
            out=out,
        )

    def export_openvino(
        self,
        run: RunName | None = None,
        *,
        precision: OpenvinoPrecision = "fp16",
        quantisation: Quantisation | None = None,
        out: Path | None = None,
    ) -> ExportResult:
        """Export a run's network for OpenVINO; see ``export.export_openvino_run``."""
        return export.export_openvino_run(
            self.find(run), self.session, precision=precision, quantisation=quantisation, out=out
        )

    def export_backbone(
        self,
        run: RunName | None = None,
        *,
        modality: Modality = Modality.VISIBLE,
        out: Path | None = None,
        half: bool = False,
        feature_scale: float = 1.0,
    ) -> Path:
        """Write a run's trunk as starting weights of other recipes; see ``export_backbone``."""
        return export_backbone.export_backbone(
            self.find(run),
            self.session,
            modality=modality,
            out=out,
            half=half,
            feature_scale=feature_scale,
        )

    def cost_of_artifacts(
        self, run: RunName | None = None, folders: Sequence[Path] = ()
    ) -> list[ArtifactCost]:
        """Measure latency and size of a run's exported files; see ``artifacts.cost_of_artifacts``."""
        return artifacts.cost_of_artifacts(self.find(run), self.session, folders)

    def find(self, run: RunName | None = None) -> Run:
        """Return the run with this folder or name; None: the newest run. See ``run.find_run``."""
        return find_run(run, self.session)
