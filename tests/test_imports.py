"""Which folder may import what (docs/decisions.md, 47), and the size of files, read from the sources."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("*.py", "[a-z]*/*.py", "tests/*/*.py")  # not what lies deeper: the users' photographs, .venv
FILES = sorted(path.relative_to(ROOT).as_posix() for place in PLACES for path in ROOT.glob(place))
USED = [f for f in FILES if "/" not in f]  # the scripts that users run
SCRIPTS = [f for f in FILES if "\nif __name__ ==" in (ROOT / f).read_text(encoding="utf-8")]
LIGHT = [f"utils/{name}.py" for name in ("settings", "files", "metrics", "annotations", "pairs")]
BACKENDS = {"tensorflow", "jax", "torch"}
HEAVY = BACKENDS | {"keras", "cv2", "matplotlib", "nets"}  # seconds to import: inside main, after the flags are read


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports(file: str, of_module_only: bool = False) -> set[str]:
    """Dotted names of what the file imports, anywhere or at module level."""
    nodes = tree(file).body if of_module_only else list(ast.walk(tree(file)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {f"{node.module}.{a.name}" for node in nodes if isinstance(node, ast.ImportFrom) for a in node.names}


def tops(file: str, of_module_only: bool = False) -> set[str]:
    return {name.split(".")[0] for name in imports(file, of_module_only)} - set(sys.stdlib_module_names)


def inside(folder: str) -> list[str]:
    return [f for f in FILES if f.startswith(f"{folder}/")]


@pytest.mark.parametrize("file", inside("nets"))
def test_nets_know_keras_only(file: str) -> None:
    more = {"nets/layers.py": {"tensorflow"}, "nets/building.py": {"utils"}}.get(file, set())
    assert tops(file) <= {"keras", "nets"} | more
    assert not tops(file, of_module_only=True) & BACKENDS


@pytest.mark.parametrize("file", inside("utils"))
def test_utils_never_know_nets(file: str) -> None:
    assert "nets" not in tops(file) or file in ("utils/embedder.py", "utils/weights.py")
    assert not tops(file, of_module_only=True) & BACKENDS


@pytest.mark.parametrize("file", LIGHT)
def test_light_modules_import_numpy_and_light_modules(file: str) -> None:
    """So their tests take a second; what they import of utils counts as theirs."""
    waiting, seen = [file], set[str]()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        assert tops(file) <= {"numpy", "utils"}, file
        found = {f"utils/{name.split('.')[1]}.py" for name in imports(file) if name.startswith("utils.")}
        waiting += found - seen


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith("tests/")])
def test_nothing_imports_a_script_or_a_test(file: str) -> None:
    scripts = {script.removesuffix(".py").replace("/", ".") for script in SCRIPTS}
    modules = imports(file) | {name.rpartition(".")[0] for name in imports(file)}
    assert not modules & scripts
    assert "tests" not in tops(file)


def is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):  # a constant: nothing is called for it but NumPy
        calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
        return all(ast.unparse(function).startswith("np.") for function in calls)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


@pytest.mark.parametrize("file", SCRIPTS)
def test_importing_a_script_runs_nothing(file: str) -> None:
    assert [ast.unparse(node) for node in tree(file).body if not is_definition(node)] == []


@pytest.mark.parametrize("file", USED)
def test_a_wrong_flag_is_answered_before_heavy_imports(file: str) -> None:
    assert not tops(file, of_module_only=True) & HEAVY


@pytest.mark.parametrize("file", FILES)
def test_files_fit_in_the_head(file: str) -> None:
    longest = 300 if file.startswith("tests/") else 250
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= longest


def named_in(test: ast.expr) -> str | None:
    """Returns what `x == "name"` or `x in ("name", ...)` looks at; None for another condition."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq | ast.In):
        return None
    words = [part for part in ast.walk(test.comparators[0]) if isinstance(part, ast.Constant)]
    return ast.unparse(test.left) if words and all(isinstance(word.value, str) for word in words) else None


OPERATIONS = "utils/plain_pickle.py"  # reads what pickle's own names of operations say


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith("tests/") and f != OPERATIONS])
def test_names_are_looked_up_in_tables(file: str) -> None:
    """No chain of if and elif on one name."""
    chains = [
        node.lineno
        for node in ast.walk(tree(file))
        if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)
        if named_in(node.test) and named_in(node.test) == named_in(node.orelse[0].test)
    ]
    assert chains == []
