"""``vireid evaluate --cost``: a table, JSON, and what does not go together."""

from __future__ import annotations

import json

import pytest

from vireid_cli.commands.main import main

SMALL = ["--size", "64x32", "--device", "cpu", "--precision", "fp32"]


def code_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["vireid", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_json_and_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["evaluate", "--cost", "--recipe", "sfcl-base", *SMALL, "--json"], monkeypatch) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parameters_without_classifier"] == 23_550_351
    monkeypatch.setenv("COLUMNS", "200")
    assert code_of(["evaluate", "--cost", "--recipe", "sfcl-base", *SMALL], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "trunk 23.55 M" in shown
    assert "paper Base" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["--recipe", "sfcl"],
        ["--size", "64x32"],
        ["some-run", "--cost", "--recipe", "sfcl"],
        ["--cost", "--recipe", "sfcl", "--size", "64"],
        ["--cost", "--recipe", "no-such-recipe"],
    ],
)
def test_options_that_exclude_each_other_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(["evaluate", *words], monkeypatch) == 2
