"""What import-linter does not see: who may read flags."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND_LINES = {
    "trainer/main.py",
    "trainer/pack.py",
    "trainer/data/prepare.py",
    "trainer/evaluation/train_classifier.py",
}


def imported_modules(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def test_only_command_lines_know_flags() -> None:
    for path in (ROOT / "trainer").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name not in COMMAND_LINES and not name.startswith("trainer/cli/"):
            assert not {"absl.flags", "absl"} & imported_modules(path), path
