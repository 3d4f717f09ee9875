import ast
from pathlib import Path

from trilift.formats import registry

# Loaded when a file of their format is read.
READERS = [f"trilift.formats.{kind.module}" for kind in (*registry.DETECTIONS.values(), *registry.CAMERAS.values())]


def project_imports(module: str, source: Path) -> set[Path]:
    """Files under `source` that importing `module` runs: itself, what it imports, and all their packages."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        waiting += [".".join(parts[:i]) for i in range(1, len(parts))]
        file = next(
            (
                f
                for f in (source.joinpath(*parts).with_suffix(".py"), source.joinpath(*parts, "__init__.py"))
                if f.exists()
            ),
            None,
        )
        if file is None or file in found:
            continue
        found.add(file)
        if name == registry.__name__:
            waiting += READERS
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
