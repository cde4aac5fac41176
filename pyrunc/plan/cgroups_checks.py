"""What no kernel takes in linux.resources, whichever cgroup version: said early, and with the JSON path.

The MUSTs of config-linux.md itself are in spec/linux_rules.py and have been checked before any plan.

Go programs write 0 for a number they leave out, and runc has always read 0 that way where no sane limit
is 0: memory, cpu shares, quota, period and weights. pids.limit, swappiness, burst and idle are real at 0.
"""

from __future__ import annotations

from pyrunc.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.spec.resources import CPU, BlockIO, Memory, NetworkResources, Resources

WHERE = ".linux.resources"

# Docker once sent the signed -1, "unset", through this unsigned field.
UNSET_SWAPPINESS = (1 << 64) - 1


def resource_problems(resources: Resources) -> Iterator[SpecError]:
    """Yield everything in linux.resources that contradicts itself or is out of range."""
    if resources.memory:
        yield from _memory(resources.memory)
    if resources.cpu:
        yield from _cpu(resources.cpu)
    if resources.block_io:
        yield from _block_io(resources.block_io)
    if resources.network:
        yield from _network(resources.network)


def _memory(memory: Memory) -> Iterator[SpecError]:
    where = f"{WHERE}.memory"
    limits = {"limit": memory.limit, "reservation": memory.reservation, "swap": memory.swap}
    for name, value in (*limits.items(), ("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp)):
        if value is not None and value < -1:
            yield SpecError(f"{where}.{name}", "must be bytes, or -1 for unlimited")
    limit, swap = memory.limit or 0, memory.swap or 0
    if swap > 0 and limit <= 0:
        yield SpecError(f"{where}.swap", "is memory and swap together, so it needs a limit")
    elif 0 < swap < limit:
        yield SpecError(f"{where}.swap", "is memory and swap together, so it must not be less than limit")
    if memory.swappiness is not None and 100 < memory.swappiness != UNSET_SWAPPINESS:
        yield SpecError(f"{where}.swappiness", "must be from 0 to 100")


def _cpu(cpu: CPU) -> Iterator[SpecError]:
    if cpu.idle not in (None, 0, 1):
        yield SpecError(f"{WHERE}.cpu.idle", "must be 0 or 1")
    for name, numbers in (("cpus", cpu.cpus), ("mems", cpu.mems)):
        if set(numbers or "") - set("0123456789-,: "):
            yield SpecError(f"{WHERE}.cpu.{name}", "must be a list such as 0-3,7")


def _block_io(block_io: BlockIO) -> Iterator[SpecError]:
    where = f"{WHERE}.blockIO"
    yield from _weights(where, block_io.weight, block_io.leaf_weight)
    for index, device in enumerate(block_io.weight_device):
        yield from _weights(f"{where}.weightDevice[{index}]", device.weight, device.leaf_weight)


def _weights(where: str, weight: int | None, leaf_weight: int | None) -> Iterator[SpecError]:
    # CFQ began at 10, bfq begins at 1; the kernel that is there decides about the values between.
    for name, value in (("weight", weight), ("leafWeight", leaf_weight)):
        if value is not None and value > 1000:
            yield SpecError(f"{where}.{name}", "must be from 10 to 1000")


def _network(network: NetworkResources) -> Iterator[SpecError]:
    for index, each in enumerate(network.priorities):
        if not each.name or each.name.split() != [each.name]:
            where = f"{WHERE}.network.priorities[{index}].name"
            yield SpecError(where, "is not the name of a network interface")
