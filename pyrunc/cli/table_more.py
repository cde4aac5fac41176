"""The commands that not every container needs: see table.py."""

from __future__ import annotations

from pyrunc.cli.table import Command, Flag

MORE_COMMANDS = {
    "list": Command(
        "list",
        "list the containers of this root",
        "",
        0,
        0,
        (
            Flag("format", "text", "table or json", short="f", default="table"),
            Flag("quiet", "switch", "print the ids only", short="q"),
        ),
    ),
    "spec": Command(
        "spec",
        "write a config.json to begin with",
        "",
        0,
        0,
        (
            Flag("bundle", "text", "directory to write it to", short="b", default="."),
            Flag("rootless", "switch", "for an ordinary user"),
        ),
    ),
    "check": Command(
        "check",
        "say everything that is wrong with a config.json",
        "",
        0,
        0,
        (
            Flag("bundle", "text", "directory with config.json", short="b", default="."),
            Flag("host", "switch", "also what this host cannot do of it"),
            Flag("json", "switch", "print a JSON document"),
        ),
    ),
    "features": Command("features", "print what this runtime can do as JSON", "", 0, 0),
}
