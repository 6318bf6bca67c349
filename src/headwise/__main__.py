"""The command ``headwise``, which needs the extra ``lab``."""

import sys


def main() -> int:
    """Run the command line, or print what it needs; returns the exit status."""
    try:
        from headwise.cli import run
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("headwise"):
            raise
        print(f"headwise: the command line needs {error.name}: pip install 'headwise[lab]'", file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
