"""``python -m trilift`` is the command ``trilift``."""

from trilift.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
