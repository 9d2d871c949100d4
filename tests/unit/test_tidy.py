"""The house is kept: file and function sizes, names, maps of the folders, no dead files."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "betatrader").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MOST_POSITIONAL = 400, 70, 5
BANNED = {"utils", "helpers", "manager", "misc", "common", "stuff"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    for function in functions(path):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{function.name} has {length} lines"
        named = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
        assert len(named) <= MOST_POSITIONAL, function.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_module_says_what_it_is_for_and_so_does_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py" or path.read_text():
        assert ast.get_docstring(tree), "no module docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.name.startswith("_") or ast.get_docstring(node), (
                f"{node.name}: no docstring"
            )


def test_no_name_says_nothing() -> None:
    for path in FILES:
        assert not BANNED & set(path.relative_to(PROJECT).with_suffix("").parts), path


def test_each_folder_lists_its_modules() -> None:
    for folder in {path.parent for path in FILES}:
        text = (folder / "__init__.py").read_text()
        for path in folder.glob("*.py"):
            if path.stem.startswith("__") or folder.name == "betatrader":
                continue
            assert f"\n{path.stem} " in text, f"{folder.name}/__init__.py does not list {path.stem}"


def test_nothing_waits_to_be_done_without_a_reason() -> None:
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert "TODO" not in line, f"{path}:{number}"
