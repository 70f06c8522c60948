"""Recipe text that is no recipe: bombs, ambiguous scalars, tags, control characters; one refusal each."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.methods import options_type
from vireid_cli.recipe import yaml_reader
from vireid_cli.recipe.load import load
from vireid_cli.recipe.study import load_study
from vireid_cli.recipe.yaml_reader import ALIASES, DEPTH, EXPANDED, parse_setting, parse_source

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k0: 1, k1: 1}\n" + "".join(
    f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 80))

BOMBS = {
    "aliases": (LAUGHS, f"more than {EXPANDED:,} values"),
    "merges": (MERGES, f"more than {EXPANDED:,} values"),
    "chain": (CHAIN, f"deeper than {DEPTH} levels"),
    "many aliases": ("a: &a 1\nb: [" + "*a, " * 200 + "]\n", f"more than {ALIASES} aliases"),
    "flow": ("a: " + "[" * 100_000 + "\n", f"deeper than {DEPTH} levels"),
    "mappings": ("{a: " * 3_000 + "1" + "}" * 3_000, f"deeper than {DEPTH} levels"),
    "block": ("".join(f"{' ' * i}a:\n" for i in range(600)), f"deeper than {DEPTH} levels"),
    "list": ("- " * 3_000 + "1\n", f"deeper than {DEPTH} levels"),
    "itself": ("a: &a [*a]\n", "alias (*name) of itself"),
    "itself by way of a merge": ("a: &a\n  <<: *a\n", "alias (*name) of itself"),
    "itself by way of others": ("a: &a {b: &b {c: [*a, *b]}}\n", "alias (*name) of itself"),
    "size": ("a: 1\n" * 100_000, "limit for such a file is 256.0 KiB"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    text, message = BOMBS[name]
    path = tmp_path / "r.yaml"
    path.write_text(text)
    began = time.perf_counter()
    with pytest.raises(RecipeError) as caught:
        load(str(path))
    assert time.perf_counter() - began < 5.0
    assert message in caught.value.message
    assert "r.yaml" in caught.value.message


@pytest.mark.parametrize("name", ["flow", "mappings", "list", "itself", "many aliases"])
def test_bombs_of_settings(name: str) -> None:
    text, message = BOMBS[name]
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse_setting(f"train.epochs={text.removeprefix('a: ') if name == 'flow' else text}")


def test_anchors_and_merges_within_the_limits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "data:\n  sampler: &sampler {identities: 4, images: 2}\n"
        "method:\n  options: {}\n"
        "train:\n  seed: &seed 3\n  log_every: *seed\n"
    )
    recipe = load(str(path))
    assert (recipe.train.seed, recipe.train.log_every) == (3, 3)
    source = parse_source("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "m.yaml")
    assert source.content["b"] == {"x": 1, "y": 3}
    assert not source.flaws, "a merged key may be replaced"
    assert source.places["b", "y"] == "m.yaml:4"


AMBIGUOUS = {
    "010": "write 10 (or 8, if it is octal)",
    "-010": "write -10 (or -8, if it is octal)",
    "08": "write 8,",
    "007": "write 7,",
    "0o17": "write 15",
    "0x1F": "write 31",
    "-0x1f": "write -31",
    "0x_": "write a decimal number",
    "0x": "write a decimal number",
    "0b11": "write 3",
    "0b_": "write a decimal number",
    "1_000": "write 1000",
    "1_0.5": "write 10.5",
    "1:30": "write 90",
    "1:30:15": "write 5415",
    "-1:30": "write -90",
    "1:30.5": "write 90.5",
    ".inf": "not a finite number",
    "-.INF": "not a finite number",
    ".nan": "not a finite number",
    "1e999": "out of range",
    "9223372036854775808": "out of range",
    "1" * 5000: "too long for a number; the limit is 100 characters",
    "0." + "1" * 5000: "too long for a number",
    "0" * 5000: "too long for a number",
    "0x" + "f" * 5000: "too long for a number",
    "1:" * 3000 + "1": "too long for a number",
}


@pytest.mark.parametrize("value", AMBIGUOUS, ids=lambda v: v[:12])
def test_numbers_of_other_notations_are_refused_with_the_one_to_write(value: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"paper: none\ntrain:\n  epochs: {value}\n")
    for settings, place in (((), "r.yaml:3: "), ((f"train.epochs={value}",), "--set: ")):
        with pytest.raises(RecipeError) as caught:
            load(str(path), settings)
        assert f"{place}train.epochs: " in caught.value.message
        assert AMBIGUOUS[value] in caught.value.message
        assert caught.value.message.count("train.epochs") == 1 + len(settings), "each once"
        assert len(caught.value.message) < 600


def test_the_same_in_a_study(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("seeds: [0, 01]\nset: {train.epochs: 1:30}\nrows:\n- {label: a, recipe: agw}\n")
    with pytest.raises(RecipeError) as caught:
        load_study(str(path))
    assert "s.yaml:1: seeds.1: 01 has different values" in caught.value.message
    assert "s.yaml:2: set.train.epochs: 1:30 has different values" in caught.value.message
    assert "2 mistakes" in caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0), (".5", 0.5), ("+.5e-1", 0.05), ("5.", 5.0), ("3e-4", 3e-4), ("1E+2", 100.0),
        ("0", 0), ("-0", 0), ("+12", 12), ("007.5", 7.5), ("9223372036854775807", 2**63 - 1),
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("2001-99-99", "2001-99-99"), ("2001-01-01", "2001-01-01"),
        ("2001-01-01 10:10:10", "2001-01-01 10:10:10"),
        ("'010'", "010"), ('"1:30"', "1:30"), ("true", True), ("FALSE", False), ("", None), ("~", None),
        ("null", None), ("'true'", "true"), ("=", "="), ("<<", "<<"), ("1,5", "1,5"), ("٣", "٣"),
        ("[1, yes, 1e1]", [1, "yes", 10.0]), ("{on: off}", {"on": "off"}), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    key, parsed, flaws = parse_setting(f"a={text}")
    assert (key, parsed, flaws) == (("a",), value, ())
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ("train.optimizer.nesterov=yes", "Write true."),
        ("train.optimizer.nesterov=Off", "Write false."),
        ("train.epochs=1e3", "Write 1000."),
        ("train.epochs='12'", "Write it without quotes."),
        ("train.optimizer.lr='0.1'", "Write it without quotes."),
    ],
)
def test_near_types_are_refused_with_the_right_spelling(setting: str, advice: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load("agw", [setting], options_of=options_type)
    assert advice in caught.value.message


REFUSED = {
    "!!int abc": "the tag !!int is not supported",
    "!!python/object/apply:os.system [id]": "the tag !!python/object/apply:os.system is not supported",
    "!!timestamp 2001-99-99": "the tag !!timestamp is not supported",
    "!mine 1": "the tag !mine is not supported",
    "! 1": "the tag ! is not supported",
    "&a [*a]": "alias (*name) of itself",
    "*b": "undefined alias",
    "{b: 1, b: 2}": "a.b: this key occurs twice.",
    '"a\\0b"': "control character U+0000",
    '"\\x1b[2J"': "control character U+001B",
    '"\\ud800"': "control character U+D800",
    '"\\UFFFFFFFF"': "not valid YAML",
    "\x1b": "control character U+001B",
    "\x00": "control character U+0000",
    "1\n---\n2": "expected a single document",
    "{? [x] : 1}": "not valid YAML",
    "{<<: 1}": "not valid YAML",
    "[": "not valid YAML",
    "\t": "not valid YAML",
    "@": "not valid YAML",
    "%": "not valid YAML",
    "{\"\\u0001\": 1}": "control character U+0001",
}  # fmt: skip


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_one_refusal_each(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load("agw", [f"a={value}"])
    assert REFUSED[value] in caught.value.message
    path = tmp_path / "r.yaml"
    path.write_text(f"paper: x\na: {value}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        load(str(path))


def test_a_control_character_in_a_file_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: a\npaper: b\x07\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:2: not valid YAML: the control character U\+0007"):
        load(str(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes("paper: é\n".encode(encoding))
    with pytest.raises(RecipeError, match="UTF-8"):
        load(str(path))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes("train: {epochs: 3}\n".encode("utf-8-sig"))
    assert load(str(path)).train.epochs == 3


def test_a_pipe_or_folder_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, kind in (("pipe.yaml", "a named pipe"), ("", "a folder")):
        for read in (load, load_study):
            with pytest.raises(UsageError, match=kind):
                read(str(tmp_path / name))


def test_a_setting_with_a_key_of_many_parts() -> None:
    with pytest.raises(RecipeError, match="more than 50 parts"):
        parse_setting("a" + ".a" * 5000 + "=1")
    with pytest.raises(RecipeError, match="more than 256"):
        parse_setting("a=" + "x" * (yaml_reader.LIMIT + 1))


@pytest.mark.parametrize("area", ["[0.4, 0.02]", "[0, 1]", "[-1, 1]"])
def test_a_range_rises(area: str) -> None:
    with pytest.raises(RecipeError, match="low at most high"):
        load("agw", [f"data.augment.linear_area={area}", "data.augment.linear=0.5"])
