"""Print what pyproject.toml asks for, one requirement a line: `requirements.py build|run|EXTRA ...`.

pip cannot install a project's dependencies without the project itself, and pyrunc is installed anew, without
them, whenever a source file has changed.
"""

import sys
import tomllib
from pathlib import Path

pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
project = pyproject["project"]
groups = {
    "build": pyproject["build-system"]["requires"],
    "run": project["dependencies"],
    **project["optional-dependencies"],
}
for group in sys.argv[1:]:
    print("\n".join(groups[group]))
