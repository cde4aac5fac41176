"""What is known: conformance/expected.toml lists the cases that a runtime fails, and why."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.runtime import Runtime

FILE = Path(__file__).with_name("expected.toml")


class Expected:
    """The known failures: an entry names a runtime, versions by a pattern, a case and a reason, perhaps a link."""

    def __init__(self, file: Path = FILE) -> None:
        self.entries = tomllib.loads(file.read_text()).get("failure", []) if file.exists() else []
        for entry in self.entries:
            if not {"runtime", "case", "reason"} <= entry.keys() <= {"runtime", "versions", "case", "reason", "link"}:
                raise ValueError(f"{file}: an entry needs runtime, case and reason: {entry}")

    def reason(self, runtime: Runtime, case_id: str) -> str:
        """Return why a runtime is known to fail a case, or ""."""
        for entry in self.entries:
            same = entry["runtime"] == runtime.name and entry["case"] == case_id
            if same and fnmatch.fnmatch(runtime.version, entry.get("versions", "*")):
                return " ".join(filter(None, (entry["reason"], entry.get("link"))))
        return ""
