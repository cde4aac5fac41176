"""python -m tests.vm build | run [OPTIONS] -- COMMAND ... | test [PYTEST OPTIONS ...]

build   make the guest if it is not there, or its recipe has changed
run     one command in a fresh copy of the booted guest. Its exit status is ours; 124: it took too long;
        125: the lane itself failed
test    the tests that belong there, as root and as an ordinary user (docs/testing.md)
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tests.vm.cache import guest
from tests.vm.checkout import PLACE, pack, unpack
from tests.vm.commands import LaneError
from tests.vm.lane import test
from tests.vm.machine import EXIT, STDOUT, Machine, Request
from tests.vm.scratch import Scratch

MOST_GUESTS = 4
ENDS_US = (signal.SIGTERM, signal.SIGHUP)
TIMED_OUT, FAILED, INTERRUPTED = 124, 125, 130


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.vm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="build|run|test")
    commands.add_parser("build", help="make the guest if it is not there")
    run = commands.add_parser("run", help="run one command in it")
    run.add_argument("--user", default="root", help="as root or as `tester`, in a unit that systemd delegates")
    files = run.add_mutually_exclusive_group()
    files.add_argument("--share", type=Path, metavar="DIR", help="a directory of this machine that is /host there")
    files.add_argument("--checkout", action="store_true", help=f"install this checkout's pyrunc in {PLACE}/.venv")
    run.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    run.add_argument("--cwd", default="/", help="working directory in the guest")
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("argv", nargs="+", metavar="COMMAND", help="after --")
    tests = commands.add_parser("test", help="run the tests that belong there")
    tests.add_argument("--everything", action="store_true", help="all scenario and kernel tests: half an hour")
    guests = min(os.cpu_count() or 1, MOST_GUESTS)
    tests.add_argument("--guests", type=int, default=guests, metavar="N", help="at once; one a processor")
    tests.add_argument("pytest", nargs="*", metavar="OPTION", help="for pytest, after --")
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> int:
    """Run a command in the guest; return its exit status."""
    share = options.share.resolve() if options.share else None
    if share and (not share.is_dir() or "," in str(share)):
        raise LaneError(f"--share {share}: not a directory, or a comma in its name")
    env = dict(assignment.split("=", 1) for assignment in options.env)
    request = Request(options.argv, options.user, options.cwd, env, share is not None)
    with guest() as built, Scratch() as folder:
        if options.checkout:
            pack(built, folder)
        with Machine(built.guest, share=folder if options.checkout else share) as machine:
            if options.checkout:
                unpack(machine)
            return follow(machine, request, options.timeout)


def follow(machine: Machine, request: Request, seconds: float) -> int:
    """Pass on what a command says; return its exit status, or TIMED_OUT."""
    try:
        for kind, data in machine.run(request, seconds):
            if kind == EXIT:
                return int(data)
            stream = (sys.stdout if kind == STDOUT else sys.stderr).buffer
            stream.write(data)
            stream.flush()
    except TimeoutError:
        print(f"{request.argv[0]}: still running after {seconds:g} s", file=sys.stderr)
        return TIMED_OUT
    return FAILED


def end(number: int, _: object) -> NoReturn:
    """End as an error would, with everything turned off and removed. timeout(1) sends a second signal meanwhile."""
    for each in ENDS_US:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main(words: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    for number in ENDS_US:
        signal.signal(number, end)
    options = parse(words)
    try:
        if options.command == "run":
            return run(options)
        if options.command == "test":
            return test(options.pytest, options.guests, options.everything)
        with guest() as built:
            print(built.guest)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except (LaneError, TimeoutError, OSError) as error:
        print(f"vm: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
