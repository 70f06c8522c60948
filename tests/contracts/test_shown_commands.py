"""Commands in pages, recipes, help texts and messages exist, with their options and values.

The program itself parses them, without running them. Those of README and of some pages run in
``test_readme_commands.py``.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from vireid_cli.commands.main import app
from vireid_cli.commands.root import CLICK_ERROR
from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import UsageError
from vireid_cli.recipe.load import shipped

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", ".github/**/*.md", "recipes/**/*.yaml")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # names options that were removed
)
PROGRAM = re.compile(r"^(?:[$#] +)?(?:[A-Z_]+=\S+ +)*(?:torchrun .*-m vireid_cli|vireid) +(.*)")
PLACEHOLDERS = {"…": "x", "COMMAND": "train", "DATASET": "sysu", "FIGURE": "cmc", "1..10|all": "all"}
"""Words of the pages that stand for a value, with a value."""


def lines_of_code(text: str) -> Iterator[str]:
    """Commands of a page: lines of its blocks, joined at a backslash, and code within its sentences."""
    for block, inline in re.findall(r"```\w*\n(.*?)```|`([^`]+)`", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines() or [" ".join(inline.split())]:
            yield from line.split("  #")[0].split("&&")


def commands_of(path: Path) -> list[str]:
    """The words after the program's name in each command of a page or of the comments of a recipe."""
    text = path.read_text(encoding="utf-8")
    lines = lines_of_code(text) if path.suffix == ".md" else text.splitlines()
    return list(dict.fromkeys(match[1] for line in lines if (match := PROGRAM.match(line.strip()))))


@cache
def program() -> Any:
    """The command line; it takes a while to build."""
    return typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    command = program()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def parse(line: str) -> dict[str, Any]:
    """Parse the words after the program's name as the program does; return the values of the options.

    Raises:
        AssertionError: A command, an option or a value does not exist.
    """
    words = [PLACEHOLDERS.get(word, word.split("|")[0]) for word in shlex.split(line)]
    command, rest = command_of(words)
    if "--help" in rest:
        return {}
    if hasattr(command, "commands"):
        assert not rest or rest[0].startswith(("-", "[")), f"vireid {line}: no such command"
        return {}
    try:
        with command.make_context("vireid", list(rest)) as context:
            return dict(context.params)
    except UsageError as error:
        if "does not exist" not in error.message:  # a path of the example, which an option reads at once
            raise AssertionError(f"vireid {line}: {error.message}") from error
    except CLICK_ERROR as error:
        named = all(not word.startswith("-") for word in rest)  # a command's name, with some of its arguments
        if not named or "Missing" not in str(error):
            raise AssertionError(f"vireid {line}: {error}") from error
    return {}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_parse(page: Path) -> None:
    for line in commands_of(page):
        values = parse(line)
        recipe, settings = values.get("recipe"), values.get("settings") or ()
        names = {path.name for path in shipped()} | {path.stem for path in shipped()}
        if isinstance(recipe, str) and Path(recipe).name in names and "…" not in line:
            load_recipe(recipe, tuple(settings))  # refuses a key or a value that does not exist


def test_a_wrong_command_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for line in (
        "vireid prepair sysu", "vireid train --recipes sepg.yaml", "vireid evaluate --mode outdoor",
        "VIREID_DATA=x torchrun --nnodes 2 -m vireid_cli train --recipe RUN --epochs", "vireid export onx",
    ):  # fmt: skip
        page.write_text(f"Text.\n\n```bash\n{line}  # a comment\n```\n")
        [command] = commands_of(page)
        with pytest.raises(AssertionError):
            parse(command)


@cache
def strings() -> list[tuple[Path, str]]:
    """Strings of the package; a value of a formatted one is the word VALUE."""
    texts: list[tuple[Path, str]] = []
    for path in sorted((ROOT / "vireid_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values
                ]
                texts.append((path, "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append((path, node.value))
    return texts


def every_command() -> Iterator[Any]:
    """The commands and groups of the program."""
    commands = [program()]
    while commands:
        command = commands.pop()
        yield command
        commands += getattr(command, "commands", {}).values()


def test_examples_of_help_texts_parse() -> None:
    texts = [command.help for command in every_command()]
    examples = [
        part for text in texts for part in re.findall(r"vireid ([^&\n]+)", text.split("Example: ")[1])
    ]
    assert len(examples) > 50
    for line in examples:
        parse(line)


PATHS = {"folder", "root", "path", "parent", "child", "target"}
"""Names of variables and attributes that are paths."""


def unquoted_paths(tree: ast.AST) -> list[str]:
    """Paths in formatted commands, such as ``f"vireid evaluate {run.folder}"``, that nothing quotes."""
    wrong = []
    for node in ast.walk(tree):
        shown = ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                shown += str(part.value)
                continue
            value = part.value if isinstance(part, ast.FormattedValue) else part
            name = getattr(value, "attr", getattr(value, "id", ""))
            if name in PATHS and re.search(r"vireid [a-z][^:,;.\n]* $", shown):
                wrong.append(f"{shown}{{{ast.unparse(value)}}}")
            shown += "VALUE"
    return wrong


def test_paths_in_messages_are_quoted() -> None:
    """Commands are for copying, and a folder's name may have blanks: ``printable.shell_line`` quotes it."""
    example = 'f"{root}: run vireid prepare {name} --root {store.root} for {path}"'
    assert unquoted_paths(ast.parse(example))[0].endswith("{store.root}")
    sources = sorted((ROOT / "vireid_cli").rglob("*.py"))
    wrong = [(path.name, unquoted_paths(ast.parse(path.read_text(encoding="utf-8")))) for path in sources]
    assert [(name, texts) for name, texts in wrong if texts] == []


OF_OTHER_PROGRAMS = {
    "torchrun": {"--standalone", "--nproc-per-node"},
    "nvidia-smi, git": {"--short", "--porcelain", "--untracked-files"},
    "convmv": {"--notest"},
    "a style sheet": {"--right-base", "--wrong-base"},
}


def test_options_in_messages_exist() -> None:
    parameters = [parameter for command in every_command() for parameter in command.params]
    known = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    known = known.union(*OF_OTHER_PROGRAMS.values(), {"--help"})
    pattern = r"(?<![\w-])--[a-z][\w-]*"
    wrong = [(str(path), name) for path, text in strings() for name in re.findall(pattern, text)]
    assert [pair for pair in wrong if pair[1] not in known] == []


def test_commands_in_messages_exist() -> None:
    """A command in a hint, such as ``Such as: vireid train …``, has a name of the program."""
    shown = [
        (path, match)
        for path, text in strings()
        for match in re.findall(r"(?:: |`|\()vireid (?!trained)([a-z-]+(?: [a-z-]*[a-z](?![\w-]))?)", text)
    ]
    assert len(shown) > 60
    for path, words in shown:
        name, _, inner = words.partition(" ")
        assert name in program().commands, f"{path}: vireid {words}"
        group = getattr(program().commands[name], "commands", None)
        assert group is None or not inner or inner in group, f"{path}: vireid {words}"
