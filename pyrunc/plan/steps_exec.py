"""What exec will do, as values: the plan of a process that joins a container. steps.py has the other words."""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.seccomp import SendListener
    from pyrunc.plan.steps import IdMaps, Process
    from pyrunc.plan.steps_process import SetScheduler


class Entering(Record):
    """Everything exec will do, decided before anything is done.

    `id_maps` are those of the container's own user namespace. `initial_cpus` and `final_cpus` are for before and
    after the container's cgroups are entered; None is "not asked for". `late_scheduler` is a policy that a fork
    would undo or refuse. With `shares_core` the program shares the container's core scheduling cookie.
    """

    id: str
    process: Process
    id_maps: IdMaps | None
    initial_cpus: tuple[int, ...] | None = None
    final_cpus: tuple[int, ...] | None = None
    late_scheduler: SetScheduler | None = None
    shares_core: bool = False
    listener: SendListener | None = None
    warnings: tuple[str, ...] = ()
