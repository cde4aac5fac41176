"""Hundreds of configurations that went wrong: each is run, or refused in one line that names the place.

All of it is done in namespaces of its own: what a mutation asks for is anybody's guess.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from tests.scenario import host
from tests.scenario.mutations import mutated

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenario.bundle import Bundle

COUNT = 40
SEEDS = range(4)
BOX = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
# One after the other, for as few namespaces as can be; the code of each is behind its own output.
SCRIPT = """
for number in $(seq 0 "$1"); do
    cp "$2/$number.json" "$2/config.json"
    for words in check "create --pid-file $2/pid" "run"; do
        command=${words%% *} operand=$3
        [ "$command" != check ] || operand=
        timeout -k 1 20 "$4" --root "$5" $words --bundle "$2" $operand </dev/null >"$2/said" 2>"$2/$number.$command"
        echo "$?" >"$2/$number.$command.code"
        [ "$command" != check ] || cat "$2/said" >>"$2/$number.check"
        [ "$command" = check ] || "$4" --root "$5" delete --force "$3" >>"$2/$number.delete" 2>&1 ||
            echo "exit $?" >>"$2/$number.delete"
        grep -h "$3" /proc/self/mountinfo >>"$2/$number.mounts"
    done
done
true
"""
PLACE = re.compile(r"(config\.json|\.(ociVersion|root|process|mounts|linux|hooks|annotations|hostname|domainname)\S*):")
TIMED_OUT = 124


def driven(bundle: Bundle, seed: int) -> list[bytes]:
    """Let the runtime do what it makes of so many mutations, and return these."""
    bundle.mkdir("data").mkdir("again")
    bundle.symlink("link", "/../../../outside")
    texts = random.Random(seed)
    documents = [mutated(texts, bundle.config) for _ in range(COUNT)]
    for number, document in enumerate(documents):
        (bundle.dir / f"{number}.json").write_bytes(document)
    words = ["sh", "-c", SCRIPT, "sh", str(COUNT - 1), str(bundle.dir), bundle.id, bundle.runtime, str(bundle.root)]
    bundle.execute([*BOX, *words], timeout=300).ok()
    return documents


def said(folder: Path, number: int, command: str) -> tuple[int, str]:
    text = (folder / f"{number}.{command}").read_text(errors="surrogateescape")
    return int((folder / f"{number}.{command}.code").read_text()), text


def judge(bundle: Bundle, number: int) -> int:
    """Look at what came of one; return the code of create."""
    created, words = said(bundle.dir, number, "create")
    assert created in (0, 1), words
    errors = [line for line in words.splitlines() if "warning: " not in line]
    assert len(errors) == created, words
    assert all(line.isprintable() and PLACE.search(line) for line in errors), words
    for command in ("check", "run"):
        code, text = said(bundle.dir, number, command)
        assert code != TIMED_OUT, (command, text)
        assert command == "run" or code in (0, 1), text
        assert "Traceback" not in text + words, text + words
        assert "internal error" not in text + words, text + words
        if command == "run" and created:
            assert code == 1, text
    assert (bundle.dir / f"{number}.delete").read_text() == ""
    assert (bundle.dir / f"{number}.mounts").read_text() == ""
    return created


@pytest.mark.requires("root")
@pytest.mark.differs_from_runc("has no check, takes half of what is wrong, and does not say where the rest is")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_configuration_is_run_or_refused(bundle: Bundle, seed: int) -> None:
    documents = driven(bundle, seed)
    codes = []
    for number, document in enumerate(documents):
        try:
            codes.append(judge(bundle, number))
        except AssertionError as err:
            raise AssertionError(f"seed {seed}, number {number}: {err}\n{document.decode(errors='replace')}") from err
    assert codes.count(0) > COUNT / 10, "too few are near what is right"
    assert codes.count(1) > COUNT / 3
    clean = host.eventually(lambda: not host.leftovers(bundle.token, bundle.root))
    assert clean, host.leftovers(bundle.token, bundle.root)
