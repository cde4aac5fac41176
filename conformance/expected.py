"""What is known: conformance/expected.toml lists the cases that a runtime fails, and why."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.runtime import Runtime

FILE = Path(__file__).with_name("expected.toml")
NEEDED = {"runtime", "case", "reason"}


class Expected:
    """The known failures: an entry names a runtime, versions by a pattern, a case and a reason, perhaps a link.

    `sometimes = true` is for what a runtime loses by chance, in a race: that it passes is no surprise then.
    """

    def __init__(self, file: Path = FILE) -> None:
        self.entries = tomllib.loads(file.read_text()).get("failure", []) if file.exists() else []
        for entry in self.entries:
            if not NEEDED <= entry.keys() <= NEEDED | {"versions", "link", "sometimes"}:
                raise ValueError(f"{file}: an entry needs runtime, case and reason: {entry}")

    def reason(self, runtime: Runtime, case_id: str) -> str:
        """Return why a runtime is known to fail a case, or ""."""
        entry = self._entry(runtime, case_id)
        return " ".join(filter(None, (entry.get("reason"), entry.get("link"))))

    def sometimes(self, runtime: Runtime, case_id: str) -> bool:
        """Tell whether a runtime is known to fail a case now and then only."""
        return bool(self._entry(runtime, case_id).get("sometimes"))

    def _entry(self, runtime: Runtime, case_id: str) -> dict[str, Any]:
        for entry in self.entries:
            same = entry["runtime"] == runtime.name and entry["case"] == case_id
            if same and fnmatch.fnmatch(runtime.version, entry.get("versions", "*")):
                return dict(entry)
        return {}
