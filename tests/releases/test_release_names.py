"""The releases that the package lists."""

from __future__ import annotations

import pytest

from vireid_cli import releases
from vireid_cli.commands.import_run import ReleaseName

CONTRACT = ("TITLE", "RECIPES", "CLASSIFIER", "MARK", "FLIP", "rules", "UNUSED", "settings")


def test_the_option_from_lists_all_releases() -> None:
    assert [name.value for name in ReleaseName] == releases.names()


@pytest.mark.parametrize("name", releases.names())
def test_a_release_has_all_public_names(name: str) -> None:
    release = releases.load(name)
    assert all(hasattr(release, attribute) for attribute in CONTRACT)
