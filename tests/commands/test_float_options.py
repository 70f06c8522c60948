"""Options with real numbers refuse NaN and infinity, also those without a maximum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args, get_type_hints

import pytest
import typer

from tests.conftest import Command
from vireid_cli.commands.main import app


def float_options(group: typer.Typer, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command with each of its options whose value is a real number."""
    for info in group.registered_commands:
        assert info.callback is not None
        words = (*prefix, info.name or info.callback.__name__.replace("_", "-"))
        for name, hint in get_type_hints(info.callback, include_extras=True).items():
            kind, *about = get_args(hint) or (hint,)
            if kind is float or float in get_args(kind):
                stated = getattr(about[0], "param_decls", None) or (f"--{name.replace('_', '-')}",)
                yield (*words, stated[0])
    for child in group.registered_groups:
        assert child.typer_instance is not None
        yield from float_options(child.typer_instance, (*prefix, child.name or ""))


OPTIONS = sorted(float_options(app))


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
def test_every_option_refuses_them(words: tuple[str, ...], value: str, vireid: Command) -> None:
    done = vireid(*words, value)
    assert done.code == 2
    refused = f"{words[-1]} {float(value)}: expected a finite number."
    assert refused in done.err or f"Invalid value for '{words[-1]}'" in done.err  # beyond a maximum


def test_options_were_listed() -> None:
    assert len(OPTIONS) >= 15
    assert {("serve", "--timeout"), ("crop", "--fps"), ("prepare", "occluded", "--train-p")} <= {*OPTIONS}
