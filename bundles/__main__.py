"""Make bundles ready to run, all of them unless some are named.

--into builds copies, DIR/NAME: for an ordinary user, or for several at once. --clean removes what was made.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bundles import folder


def main() -> None:
    """Read the command line, build or clean, and say where the bundles are."""
    parser = argparse.ArgumentParser(
        prog="python -m bundles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAME", nargs="*", default=folder.names())
    parser.add_argument("--into", metavar="DIR", type=Path)
    parser.add_argument("--clean", action="store_true")
    options = parser.parse_args()
    failed = []
    for name in options.names:
        try:
            if options.clean:
                folder.clean(name)
            else:
                into = options.into.resolve() / name if options.into else None
                print(f"{name}: {folder.build(name, into)}")
        except OSError as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
    if failed:
        sys.exit(f"not made: {', '.join(failed)}")


if __name__ == "__main__":
    main()
