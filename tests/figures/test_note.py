"""Notes in the corner of a figure."""

import json
from pathlib import Path

import pytest

from vireid_cli.engine.subjects.evaluations import rendered_note
from vireid_cli.figures import style
from vireid_cli.figures.saving import Format, save
from vireid_cli.files import write_text
from vireid_cli.results.formatting import RENDERED_NOTE
from vireid_cli.results.run import RunFolder


@pytest.mark.parametrize("size", [(2.0, 9.0), (12.0, 1.5)])
def test_note_is_in_the_lower_right_corner(size: tuple[float, float], tmp_path: Path) -> None:
    figure = style.blank(*size)
    save(figure, tmp_path / "a.png", note="rendered people")
    (text,) = figure.texts
    assert text.get_text() == "rendered people"
    box = text.get_window_extent()
    assert 0 < figure.bbox.width - box.x1 < 0.1 * figure.dpi
    assert 0 < box.y0 < 0.1 * figure.dpi
    save(style.blank(*size), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("marks", [{}, {"rendered": "version 1, seed 0"}])
def test_runs_on_rendered_data_are_detected(marks: dict[str, str], tmp_path: Path) -> None:
    assert rendered_note([RunFolder(tmp_path)]) is None, "no note without an environment file"
    data = {"dataset": "x", "data": "a", "fingerprint": "ab", **marks}
    environment = {"version": 1, "num_identities": 2, "data": data, "parameters": 1, "weights": "none"}
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    assert rendered_note([RunFolder(tmp_path)]) == (RENDERED_NOTE if marks else None)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_undecodable_letters_are_drawn(ending: Format, tmp_path: Path) -> None:
    figures = [style.page(3.0, 1.0) for _ in range(2)]
    for (_, axes), words in zip(figures, ("ü", "ü".encode().decode("ascii", "surrogateescape")), strict=True):
        style.write(axes, 0.1, 0.1, words)
    paths = [save(figure, tmp_path / f"{i}.{ending}") for i, (figure, _) in enumerate(figures)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_undecodable_text_is_written_unchanged(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "ü".encode().decode("ascii", "surrogateescape"))
    assert path.read_text(encoding="utf-8") == "ü"
