#!python
"""bin/pyrunc where no C compiler was there to make the launcher: slower, and just as sealed.

The installer puts its own interpreter into the first line. That one has read site and whatever the
environment asked for, so it only starts python again, isolated; commands that enter a container then seal
themselves.
"""

import sys

from pyrunc.sealing import reexec_isolated

reexec_isolated(sys.argv[1:])
