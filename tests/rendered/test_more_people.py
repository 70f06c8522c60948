"""Additional test people: they change no file of the others, and old trees stay readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vireid_cli.data.provenance import rendering_command
from vireid_cli.errors import UsageError
from vireid_cli.files import write_sealed
from vireid_cli.rendered import RenderOptions, read_manifest, write_tree
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.manifest import MANIFEST


@pytest.mark.parametrize(("layout", "lists"), [("sysu", "exp/train_id.txt"), ("llcm", "idx/train_vis.txt")])
def test_added_people_are_test_people_and_leave_the_others_alone(
    tmp_path: Path, layout: str, lists: str
) -> None:
    small = RenderOptions(ids=6, images=1, seed=3, size=(40, 20), layout=layout)
    wide = RenderOptions(ids=6, more_test_ids=3, images=1, seed=3, size=(40, 20), layout=layout)
    for options, name in ((small, "small"), (wide, "wide")):
        write_tree(tmp_path / name, options, workers=1)
    plans = [load_layout(layout).plan(6, 3, more) for more in (0, 3)]
    assert plans[1].train == plans[0].train
    assert plans[1].val == plans[0].val
    assert plans[1].test == (*plans[0].test, 7, 8, 9)
    names = [
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.jpg")}
        for name in ("small", "wide")
    ]
    assert names[0] < names[1]
    assert all(
        (tmp_path / "small" / n).read_bytes() == (tmp_path / "wide" / n).read_bytes() for n in names[0]
    )
    assert {int(path.parent.name) for path in names[1] - names[0]} == {7, 8, 9}
    assert (tmp_path / "small" / lists).read_bytes() == (tmp_path / "wide" / lists).read_bytes()


def test_trees_of_before_have_none(tmp_path: Path) -> None:
    options = RenderOptions(ids=6, images=1, seed=3, size=(40, 20))
    write_tree(tmp_path / "tree", options, workers=1)
    content = read_manifest(tmp_path / "tree")
    assert content is not None
    del content["parameters"]["more_test_ids"]
    write_sealed(tmp_path / "tree" / MANIFEST, content)
    assert "more_test_ids" not in json.loads((tmp_path / "tree" / MANIFEST).read_text())["parameters"]
    assert write_tree(tmp_path / "tree", options, workers=1).rendered == 0
    wide = RenderOptions(ids=6, more_test_ids=1, images=1, seed=3, size=(40, 20))
    with pytest.raises(UsageError, match="more_test_ids: 0 in the folder, 1 requested"):
        write_tree(tmp_path / "tree", wide, workers=1)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="ten trials has its own"):
        RenderOptions(more_test_ids=3, layout="regdb")
    with pytest.raises(UsageError, match="more_test_ids is 5; it must be from 0 to 4"):
        RenderOptions(ids=99_995, more_test_ids=5)


def test_the_repair_command_names_them() -> None:
    options = RenderOptions(ids=6, more_test_ids=3, images=1, seed=3, size=(40, 20))
    for more, shown in ((3, True), (0, False)):
        parameters = {**options.as_parameters(), "more_test_ids": more}
        command = rendering_command("sysu", {"parameters": parameters}, Path("tree"))
        assert ("--more-test-ids 3" in command) is shown
