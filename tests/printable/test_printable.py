"""Whatever a name holds, no terminal obeys it, and no line begins with it."""

from __future__ import annotations

import doctest
import json
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vireid_cli import printable as module
from vireid_cli.printable import (
    printable,
    printable_block,
    printable_json,
    printable_lines,
    shell_line,
)

ANY_TEXT = st.text(st.characters())  # lone surrogates among them


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("照片 é [bold] $x$.jpg", "照片 é [bold] $x$.jpg"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\tc\rd\x00", r"a\nb\tc\rd\x00"),
        ("\udcd5\udcd5.jpg", r"\xd5\xd5.jpg"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u2028b\u0085c", r"a\u2028b\x85c"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_by_hand(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_example() -> None:
    assert doctest.testmod(module).failed == 0


@given(ANY_TEXT)
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")
    assert printable_block(text).split("\n") == [
        printable(line.replace("\t", "\0tab")).replace("\\x00tab", "\t") for line in text.split("\n")
    ]


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_json_comes_back_as_it_was(content: dict[str, str]) -> None:
    text = printable_json(json.dumps(content, ensure_ascii=False, indent=1))
    assert printable_block(text) == text
    assert json.loads(text) == content


@given(st.text(st.characters(exclude_characters="\n ")), st.text(st.characters(exclude_characters=" \t")))
def test_a_name_begins_no_line_of_a_message(first: str, second: str) -> None:
    lines = printable_lines(f"{first}x\n{second}x can't be read:\n  row 1\n  row 2")
    assert lines == [printable(f"{first}x\n{second}x can't be read:"), "  row 1", "  row 2"]


def test_lines_of_advice() -> None:
    advice = "Runs in runs:\n  a\nThen: do it\nvireid evaluate x\n--set a=b\nnext: rm -rf x"
    assert printable_lines(advice, advice=True) == [
        *("Runs in runs:", "  a", "Then: do it", "vireid evaluate x", "--set a=b\\nnext: rm -rf x"),
    ]
    assert printable_lines("") == [""]


@pytest.mark.parametrize("word", ["a b", "it's", "", "a\nb", "\x1b[31m'\\", "é\u202e照", "\udcd5\udcff"])
def test_a_shell_reads_the_word_again(word: str) -> None:
    line = shell_line(["printf", "%s", word])
    assert printable(line) == line
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == word.encode("utf-8", "surrogateescape")
