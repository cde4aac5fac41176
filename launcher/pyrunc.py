#!python
"""bin/pyrunc where no C compiler was there to make the launcher: slower, and just as sealed.

The installer puts its own interpreter into the first line. That one has read site and whatever the
environment asked for, so it only starts python again, isolated; commands that enter a container then seal
themselves.
"""

import sys

from pyrunc.sealing import reexec_isolated

# By its other name it is the shim, launcher/pyrunc.c.
reexec_isolated([*(["shim"] if "/containerd-shim-" in sys.argv[0] else []), *sys.argv[1:]])
