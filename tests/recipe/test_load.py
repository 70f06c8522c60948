"""A recipe is right or refused, every mistake at once with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.methods import options_type
from vireid_cli.recipe.load import dump, find, load
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.strict import LISTS


def write(folder: Path, text: str, name: str = "r.yaml") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def refusal(path: str, *settings: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(path, settings, options_of=options_type)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_mistake_at_once_with_line_and_suggestion(tmp_path: Path) -> None:
    text = refusal(
        write(
            tmp_path,
            "data:\n"
            "  sampler: {identitis: 3}\n"
            "train:\n"
            "  epochs: soon\n"
            "  lr: 0.1\n"
            "method:\n"
            "  name: baseline\n"
            "  options: {margn: 0.3, pool: gapp}\n",
        ),
        "train.seed=-1",
    )
    assert "6 mistakes" in text
    assert "r.yaml:2: data.sampler.identitis: unknown key. Did you mean 'data.sampler.identities'?" in text
    assert "r.yaml:4: train.epochs: expected a valid integer, not 'soon'." in text
    assert "r.yaml:5: train.lr: unknown key. Did you mean 'train.optimizer.lr'?" in text
    assert "r.yaml:8: method.options.margn: unknown key. Did you mean 'method.options.margin'?" in text
    assert "r.yaml:8: method.options.pool:" in text
    assert "--set: train.seed:" in text


def test_unknown_method_is_one_of_the_mistakes(tmp_path: Path) -> None:
    text = refusal(write(tmp_path, "method: {name: sepgg}\ntrain: {epochs: 0}\n"))
    assert "2 mistakes" in text
    assert "'sepg'" in text
    assert "r.yaml:1: method.name" in text


def test_key_written_twice(tmp_path: Path) -> None:
    assert "r.yaml:2: train.epochs: this key occurs twice." in refusal(
        write(tmp_path, "train: {epochs: 3,\n epochs: 4}\n")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "expected a mapping"),
        ("extends: 3\n", "expected the name of one recipe"),
    ],
)
def test_files_that_are_no_recipe_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    message = refusal(write(tmp_path, text))
    assert expected in message
    assert "r.yaml" in message


def test_numbers_that_yaml_reads_as_text(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, "train: {optimizer: {lr: 3e-4, weight_decay: 1}}\n"))
    assert recipe.train.optimizer.lr == 3e-4
    assert recipe.train.optimizer.weight_decay == 1.0


def test_strict_types(tmp_path: Path) -> None:
    text = refusal(
        write(tmp_path, "train: {epochs: 2.0, optimizer: {nesterov: 1}}\ndata: {size: [288.5, 144]}\n")
    )
    assert "3 mistakes" in text


def test_settings_override_and_their_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {size: [144, 72]}\n")
    recipe = load(path, ["data.size=[288, 144]", "train.optimizer.lr=1e-3", "name=mine"])
    assert (recipe.data.size, recipe.train.optimizer.lr, recipe.name) == ((288, 144), 1e-3, "mine")
    assert "--set: data.size" in refusal(path, "data.size=[288, 1]")
    assert "expected KEY=VALUE" in refusal(path, "train.epochs")
    assert "is a value and has no keys" in refusal(path, "data.size.height=3")


def test_sizes_are_height_x_width(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {size: 96x48, augment: {crop: [90, 40]}}\n")
    recipe = load(path)
    assert (recipe.data.size, recipe.data.augment.crop) == ((96, 48), (90, 40))
    assert load(path, ["data.size=144×72"]).data.size == (144, 72)
    text = dump(recipe)
    assert "size: 96x48\n" in text
    assert "crop: 90x40\n" in text
    assert load(write(tmp_path, text)) == recipe
    before = dump(recipe, LISTS)
    assert "size: 96x48" not in before, "the text of earlier versions"
    assert load(write(tmp_path, before)) == recipe
    assert "such as 288x144, not '96*48'" in refusal(path, "data.size=96*48")
    assert "value 2 of a list is missing" in refusal(path, "data.size=[96]")


def test_extends_one_level(tmp_path: Path) -> None:
    write(
        tmp_path, "train: {epochs: 7, seed: 3}\nmethod: {name: sepg, options: {gate: false}}\n", "parent.yaml"
    )
    child = write(tmp_path, "extends: parent.yaml\ntrain: {epochs: 9}\n", "child.yaml")
    recipe = load(child, options_of=options_type)
    assert (recipe.train.epochs, recipe.train.seed, recipe.name) == (9, 3, "child")
    assert recipe.method.options["gate"] is False
    grandchild = write(tmp_path, "extends: child.yaml\n", "grandchild.yaml")
    assert "one level" in refusal(grandchild)


def test_another_method_does_not_inherit_options(tmp_path: Path) -> None:
    write(tmp_path, "method: {name: sepg, options: {gate: false}}\n", "parent.yaml")
    child = write(tmp_path, "extends: parent.yaml\nmethod: {name: baseline}\n", "child.yaml")
    assert "gate" not in load(child, options_of=options_type).method.options


def test_resolved_recipe_is_a_recipe(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, "method: {name: sepg}\n"), options_of=options_type)
    repeated = load(write(tmp_path, dump(recipe), "again.yaml"), options_of=options_type)
    assert repeated == recipe
    assert repeated.method.options


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("sepg") == find("sepg.yaml")
    write(tmp_path, "train: {epochs: 1}\n", "recipes/sepg.yaml")
    assert find("sepg") == Path("recipes/sepg.yaml"), "one's own goes before the shipped one"
    with pytest.raises(UsageError, match="quickstart"):
        find("quikstart")


def test_defaults_are_valid() -> None:
    assert Recipe.model_validate(Recipe().model_dump(mode="json")) == Recipe()


def test_imagenet_weights_are_of_one_width(tmp_path: Path) -> None:
    path = write(tmp_path, "backbone: {width: 32}\n")
    assert "weights need width 64" in refusal(path)
    assert load(path, ["backbone.weights=mine.safetensors"]).backbone.width == 32
    assert load(path, ["backbone.weights=none"]).backbone.width == 32


def test_keys_are_words(tmp_path: Path) -> None:
    """YAML 1.1 reads a bare `on` as true, in values and in keys."""
    path = tmp_path / "on.yaml"
    path.write_text("method: {name: sfcl, options: {cfam: {on: true}, sfim: {on: false}}}\n")
    recipe = load(str(path), ["method.options.csc={on: false}"])
    assert recipe.method.options == {"cfam": {"on": True}, "sfim": {"on": False}, "csc": {"on": False}}
    path.write_text(dump(recipe))
    assert load(str(path)) == recipe


def test_verification_rates_keep_their_names(tmp_path: Path) -> None:
    """A paper's rate has the name that the measured one has, in the recipe and written out again."""
    path = tmp_path / "face.yaml"
    rates = {"vr_far_0.01": 97.9, "vr_far_0.001": 87.0}
    row = {"dataset": "oulu", "protocol": "faces", "rank1": 100.0, **rates}
    path.write_text(yaml.safe_dump({"paper": "none", "reported": [row]}))
    recipe = load(str(path))
    result = {key: value for key, value in recipe.reported[0].model_dump().items() if value is not None}
    assert result == {"source": "", **row}
    path.write_text(dump(recipe))
    assert load(str(path)).reported == recipe.reported
    path.write_text(yaml.safe_dump({"paper": "none", "reported": [row | {"vr_far_1": 3.0}]}))
    with pytest.raises(RecipeError, match="vr_far_1: unknown key"):
        load(str(path))


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "~\n"])
def test_an_empty_recipe_is_refused(tmp_path: Path, text: str) -> None:
    assert "r.yaml is empty" in refusal(write(tmp_path, text))


def test_an_unknown_key_in_a_mapping_of_set_is_named(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "paper: x\n"), "train={epochs: 1, optimizer: {speed: 1}}")
    assert "--set: train.optimizer.speed: unknown key" in message


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "x" * 121, "é" * 61])
def test_a_name_that_makes_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert ": name: " in refusal(write(tmp_path, f"name: '{name}'\n"))


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "-x", "a\\b", "a\nb"])
def test_a_name_that_leaves_the_runs_folder_is_refused(tmp_path: Path, name: str) -> None:
    text = refusal(write(tmp_path, f"name: {name!r}\n".replace("\\n", "\n\n")))
    assert "r.yaml:1: name: " in text


@pytest.mark.parametrize("number", [".inf", "inf", "1e999", ".nan"])
def test_a_number_without_end_is_refused(tmp_path: Path, number: str) -> None:
    text = refusal(write(tmp_path, "paper: none\n"), f"train.optimizer.lr={number}")
    assert "one mistake" in text
    assert "--set: train.optimizer.lr: " in text


def test_a_key_below_a_value_names_the_nearest_key(tmp_path: Path) -> None:
    text = refusal(write(tmp_path, "train:\n  epochs: {lr: 1}\n"))
    assert "train.epochs: " in text
    assert "not a key lr. Did you mean 'train.optimizer.lr'?" in text


def test_a_list_of_another_length_is_described_in_words(tmp_path: Path) -> None:
    assert "r.yaml:1: data.size: expected 2 values, not [96, 48, 3]." in refusal(
        write(tmp_path, "data: {size: [96, 48, 3]}\n")
    )


def test_a_mistake_between_parts_has_no_empty_key(tmp_path: Path) -> None:
    assert "\n  train.select: val needs" in refusal(
        write(tmp_path, "train: {select: val}\ndata: {split: trainval}\n")
    )
