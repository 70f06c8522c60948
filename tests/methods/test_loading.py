import pydantic
import pytest

from vireid_cli import methods
from vireid_cli.errors import UsageError


def test_available_are_the_files() -> None:
    assert {"baseline", "sepg"} <= set(methods.available())
    assert methods.available() == sorted(methods.available())


def test_an_unknown_name_lists_the_closest_and_all_methods() -> None:
    with pytest.raises(UsageError) as error:
        methods.load("sepgg")
    text = str(error.value)
    assert "unknown method 'sepgg'" in text
    assert "Did you mean 'sepg'?" in text
    assert "baseline, " in text


@pytest.mark.parametrize("name", ["__init__", "../errors", "os", ""])
def test_only_files_of_the_package_are_methods(name: str) -> None:
    with pytest.raises(UsageError):
        methods.load(name)


def test_every_wrong_option_is_reported_at_once() -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        methods.options_of("sepg", {"gaet": True, "paba": {"weight": -1.0}, "chunks": {"n": "twelve"}})
    places = {".".join(str(part) for part in mistake["loc"]) for mistake in error.value.errors()}
    assert places == {"gaet", "paba.weight", "chunks.n"}
