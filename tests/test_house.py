"""The house: every public thing is documented in one style, and no file or function outgrows a sitting."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_imports import FILES, ROOT

MAX_FILE_LINES, MAX_MEDIAN_LINES, MAX_FUNCTION_LINES = 300, 150, 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions, inner ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def public(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | Function, bool]]:
    """The public classes, functions and methods of a module: name, definition, whether it is a method."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node.name, node, False
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner, True


def decorators(node: Function) -> set[str]:
    """The last names of a function's decorators."""
    found = set()
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        found.add(target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
    return found


def parameters(node: Function, method: bool) -> list[str]:
    """The names that `Args:` must list."""
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    named += [one for one in (given.vararg, given.kwarg) if one is not None]
    names = [one.arg for one in named]
    if method and "staticmethod" not in decorators(node):
        names = names[1:]
    return [name for name in names if not name.startswith("_")]


def section(docstring: str, title: str) -> str | None:
    """The text of a section of a docstring; None where there is none."""
    lines = docstring.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() == f"{title}:"]
    if not starts:
        return None
    indent = len(lines[starts[0]]) - len(lines[starts[0]].lstrip())
    inside = []
    for line in lines[starts[0] + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        inside.append(line)
    return "\n".join(inside)


def returns_something(node: Function) -> bool:
    """Whether the annotation names a value."""
    kind = node.returns
    return kind is not None and ast.unparse(kind) not in ("None", "NoReturn", "Never", "Iterator[None]")


def faults_of(name: str, node: ast.ClassDef | Function, method: bool) -> Iterator[str]:
    """What a docstring lacks."""
    docstring = ast.get_docstring(node)
    if not docstring:
        yield f"{name}: no docstring"
        return
    if isinstance(node, ast.ClassDef) or decorators(node) & {"property", "cached_property", "setter", "overload"}:
        return
    if names := parameters(node, method):
        described = section(docstring, "Args")
        if described is None:
            yield f"{name}: no Args"
        else:
            yield from (f"{name}: Args lacks {one}" for one in names if f"{one}:" not in described)
    if returns_something(node) and not any(section(docstring, title) for title in ("Returns", "Yields")):
        yield f"{name}: no Returns"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_things_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    faults = [fault for name, node, method in public(tree) for fault in faults_of(name, node, method)]
    if path.name != "__init__.py" or path.read_text().strip():
        faults += [] if ast.get_docstring(tree) else ["the module: no docstring"]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_over_60_lines(path: Path) -> None:
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(ast.parse(path.read_text()))}
    assert not {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}


def test_half_of_the_files_are_under_150_lines() -> None:
    assert statistics.median(len(path.read_text().splitlines()) for path in FILES) < MAX_MEDIAN_LINES


def test_a_docstring_is_read_as_the_rules_say() -> None:
    source = '''
def whole(a, *, b) -> int:
    """Sentence.

    Args:
        a: One.
        b: Two.

    Returns:
        Three.
    """
def lacking(a, b) -> int:
    """Sentence.

    Args:
        a: One.
    """
class Thing:
    """Sentence."""
    @property
    def value(self) -> int:
        """Sentence."""
    def method(self) -> None: ...
'''
    faults = [fault for name, node, method in public(ast.parse(source)) for fault in faults_of(name, node, method)]
    assert faults == ["lacking: Args lacks b", "lacking: no Returns", "Thing.method: no docstring"]


DOCS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_the_docs_name_are_there(path: Path) -> None:
    named = set(re.findall(r"`((?:search_spaces|compress|nas|benchmarks|tests)/[\w/.]*)`", path.read_text()))
    assert not {name for name in named if not (ROOT / name).exists()}
