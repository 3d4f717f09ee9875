"""The programs that measure: no test runs them whole, so that what they import may have gone."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
# Each as if it were alone: what another has found on its way is forgotten.
CODE = """
import contextlib, runpy, sys
from pathlib import Path

tests, others = Path(sys.argv[1]), sys.path[1:]
for program in sorted((tests / "benchmarks").glob("*.py")):
    sys.argv, sys.path[:] = [str(program), "--help"], [str(program.parent), *others]
    for name, module in list(sys.modules.items()):
        if tests in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]
    alone = "argparse" in program.read_text()
    with contextlib.suppress(SystemExit):
        runpy.run_path(str(program), run_name="__main__" if alone else "imported")
    print("ran", program.stem)
"""


def test_benchmarks_find_what_they_import(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(TESTS)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    ran = [line for line in result.stdout.splitlines() if line.startswith("ran ")]
    assert len(ran) == len(list((TESTS / "benchmarks").glob("*.py")))
