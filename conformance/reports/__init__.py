"""How verdicts are told: in words, as TAP, as JUnit, as a page, and as a table for docs/conformance.md."""
