"""The house rules that no linter states: sizes, forbidden imports, and that the lint rules are really at work."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "models", "training")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_IMPORTS = {"torchvision", "torchmetrics", "ultralytics", "pickle"}


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_no_file_is_over_400_lines_and_the_median_is_under_150() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (*SOURCES, *(ROOT / "tests").rglob("*.py"))}
    assert not {str(path): n for path, n in lengths.items() if n > 400}
    assert statistics.median(lengths[path] for path in SOURCES) < 150


def _modules() -> dict[str, Path]:
    return {
        "yoloscope." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES
    }


def _module_imports() -> dict[str, set[str]]:
    """Project modules that each module imports when it is imported itself."""
    modules = _modules()
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        found: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (inner & modules.keys()) or {node.module}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = found & modules.keys()
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph, done = _module_imports(), set[str]()
    while leaves := {name for name, needed in graph.items() if needed <= done} - done:
        done |= leaves
    assert not graph.keys() - done


def test_a_loss_stands_nearly_alone() -> None:
    counts = [
        len(needed)
        for name, needed in _module_imports().items()
        if name.startswith("yoloscope.training.losses.") and _modules()[name].name != "__init__.py"
    ]
    assert statistics.median(counts) <= 8


SMALL = {
    "app/commands/digits.py": "a command",
    "app/commands/common.py": "the model that a command runs",
    "app/healthcheck.py": "a program of the container",
    "app/service_links.py": "variables of Kubernetes, known before anything heavy is imported",
    "app/routers/health.py": "a route",
    "app/services/torch_import.py": "the import of PyTorch beside requests",
    "app/services/audits/options.py": "options and states of jobs, known without a database",
    "app/routers/losses.py": "a route",
    "app/schemas/base.py": "base of all schemas",
    "app/schemas/problem.py": "the schema of errors",
    "models/darknet/foreign_files.py": "what a file is by its first bytes",
    "models/detections.py": "what every detector returns, without torch",
    "models/strict_model.py": "base of all frozen pydantic models",
    "models/zoo/class_names.py": "the names of COCO and VOC",
    "training/callbacks/base.py": "base of all callbacks",
    "training/evaluation/average_precision.py": "AP",
    "training/diagnostics/prevalence.py": "shares of label errors as they are stated, without torch",
    "training/losses/names.py": "names of presets and details, without torch",
    "training/losses/presets/v4.py": "the loss of YOLOv4",
}
"""Modules under 40 lines that are concepts of their own, searched by their names; so is every layer."""


def test_a_module_under_40_lines_is_a_concept_of_its_own() -> None:
    small = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name != "__init__.py" and len(path.read_text().splitlines()) < 40 and path.parent.name != "layers"
    }
    assert small <= SMALL.keys(), f"merge {sorted(small - SMALL.keys())} with what is read together with them"


def test_training_has_few_loose_files() -> None:
    assert len(list((ROOT / "training").glob("*.py"))) <= 12


def test_no_function_is_over_60_lines() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    ]
    assert not too_long


def test_forbidden_libraries_are_not_imported() -> None:
    offenders = {
        str(path.relative_to(ROOT)): sorted(hit)
        for path in SOURCES
        if (hit := _imports(ast.parse(path.read_text())) & FORBIDDEN_IMPORTS)
    }
    assert not offenders


def _unpickles(call: ast.Call) -> bool:
    """Whether a call may run code that a file holds."""
    stated = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if ast.unparse(call.func) == "torch.load":
        return stated.get("weights_only") != "True"
    return stated.get("allow_pickle", "False") != "False"


def test_nothing_is_unpickled() -> None:
    named = [path for path in SOURCES if "torch.load" in path.read_text() or "allow_pickle" in path.read_text()]
    calls = [(path, node) for path in named for node in ast.walk(ast.parse(path.read_text()))]
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in calls
        if isinstance(node, ast.Call) and _unpickles(node)
    ]
    for unsafe in ("torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)"):
        (call,) = (node for node in ast.walk(ast.parse(unsafe)) if isinstance(node, ast.Call))
        assert _unpickles(call)


def test_only_links_to_the_three_folders_are_installed_beside_the_public_api() -> None:
    package = ROOT / "src" / "yoloscope"
    links = {path.name: path.readlink() for path in package.iterdir() if path.is_symlink()}
    assert links == {name: Path("..", "..", name) for name in PACKAGES}


@pytest.mark.parametrize(
    ("rule", "snippet"),
    [
        ("T201", "print(1)\n"),
        ("ERA001", "# x = compute(1)\n"),
        ("C901", "def f(x):\n" + "".join(f"    if x == {i}:\n        x += 1\n" for i in range(11))),
        ("PLR0915", "def f(x):\n" + "    x += 1\n" * 51),
    ],
)
def test_the_lint_rules_are_really_selected(rule: str, snippet: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename", "models/x.py", "-"],
        input=snippet,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert f" {rule} " in run.stdout


def test_a_module_and_a_class_are_described_by_their_subject() -> None:
    """A first line that begins with a question word cannot be searched for."""
    vague = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef)
        and (text := ast.get_docstring(node) or "").split(" ")[0]
        in {"What", "Whether", "Where", "Which", "Who", "How", "Everything"}
    ]
    assert vague == []


def _mirrors_a_source(test: Path) -> bool:
    """Return whether ``tests/ROOM/test_X_topic.py`` tests ``ROOM/X.py`` or the package ``ROOM/X``."""
    words = test.stem.removeprefix("test_").split("_")
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    return any((folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file() for name in names)


def test_every_test_file_is_named_after_what_it_tests() -> None:
    tests = [path for package in PACKAGES for path in sorted((ROOT / "tests" / package).rglob("test_*.py"))]
    assert len(tests) > 100
    assert [str(path.relative_to(ROOT)) for path in tests if not _mirrors_a_source(path)] == []
