"""A suite that judges any OCI runtime from outside: `python -m conformance --runtime PATH`.

Cases are written from the text of runtime-spec 1.3, requirement by requirement (oci-spec/requirements.toml has the
numbers). A runtime is only ever met through the command line of runc's users, a bundle, and what a small program
inside the container sees. Nothing here imports pyrunc, and pyrunc is judged like the others.

case.py     what a case is            cases/     the cases, one file per chapter
runtime.py  how a runtime is driven   box.py     a bundle for one case, and its tidying up
probe.c     the program inside        host.py    what was left behind; needs.py: what a case needs of the host
runner.py   time limits, many at once reports/   how the verdicts are told
broken.py   runtimes that are broken on purpose: the suite judges itself; faults/ is what is broken
agent.py    a seccomp agent, which a case may be
"""
