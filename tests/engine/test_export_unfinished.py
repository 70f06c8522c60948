"""An export of a run before its last epoch warns: a program and a backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Listener
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.export_subject import export_subject
from vireid_cli.errors import Interrupted

EXPORTS: dict[str, Callable[[Engine], object]] = {
    "program": lambda engine: export_subject(engine.find(), engine.session),  # of ONNX, torch and OpenVINO
    "backbone": lambda engine: engine.export_backbone(),
}


@pytest.mark.parametrize("form", EXPORTS)
def test_an_unfinished_run_is_exported_with_a_warning(
    form: str,
    sysu_tree: Path,
    tiny_recipe: Path,
    tmp_path: Path,
    stop_after: Callable[[int], None],
    listener: Listener,
) -> None:
    engine = Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs", reporter=listener)
    stop_after(1)
    with pytest.raises(Interrupted):
        engine.train(str(tiny_recipe))
    EXPORTS[form](engine)
    assert [text for text in listener.warnings if "is unfinished: 0 of 2 epochs" in text]
