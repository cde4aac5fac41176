"""`python -m pyrunc`: hand the command line over to cli, nothing else."""

import sys

from pyrunc.cli import main

sys.exit(main(sys.argv[1:]))
