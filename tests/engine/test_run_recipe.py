"""The recipe of a run folder: as it was written, and as older versions meant it."""

from pathlib import Path

import pytest

from vireid_cli.engine.network import load_recipe, run_recipe
from vireid_cli.recipe.load import dump
from vireid_cli.results.run import RunFolder


@pytest.mark.parametrize("checked", [True, False])
def test_a_run_of_the_time_before_lanczos_keeps_its_bicubic_images(tmp_path: Path, checked: bool) -> None:
    recipe = load_recipe("quickstart.yaml")
    assert recipe.data.resize == "lanczos"
    run = RunFolder(tmp_path)
    run.recipe_file.write_text(dump(recipe))
    assert run_recipe(run, checked=checked) == recipe
    lines = [line for line in dump(recipe).splitlines() if "resize:" not in line]
    run.recipe_file.write_text("\n".join(lines))
    assert run_recipe(run, checked=checked).data == recipe.data.model_copy(update={"resize": "bicubic"})
