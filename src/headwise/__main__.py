"""The command ``headwise``, which needs the extra ``lab``; ``headwise doctor`` needs none."""

import sys


def main() -> int:
    """Run the command line, or print what it needs; returns the exit status."""
    try:
        from headwise.cli import run
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("headwise"):
            raise
        if sys.argv[1:] == ["doctor"]:  # says what is missing, also where the command line itself is
            from headwise.installation import inspect_installation, installation_text

            print(installation_text(inspect_installation()))
            return 0
        print(f"headwise: the command line needs {error.name}: pip install 'headwise[lab]'", file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
