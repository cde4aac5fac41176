"""The `mounts` array of config.json (config.md, "Mounts"), and id mappings, which namespaces use too."""

from __future__ import annotations

from pyrunc.record import Record
from pyrunc.spec.read import UINT32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.spec.read import Reader


class IDMapping(Record):
    """Ids from `host_id` on are those from `container_id` on (config-linux.md#user-namespace-mappings)."""

    container_id: int
    host_id: int
    size: int


class Mount(Record):
    """One entry of `mounts`; a relative `destination` is one from "/" (config.md#mounts)."""

    destination: str
    type: str | None = None
    source: str | None = None
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()

    @property
    def is_bind(self) -> bool:
        """True for a bind mount: the options alone decide, `type` is a dummy then (config.md#mounts)."""
        return "bind" in self.options or "rbind" in self.options


def read_id_mapping(r: Reader) -> IDMapping:
    """Read an id mapping of a namespace or a mount (config-linux.md#user-namespace-mappings)."""
    return IDMapping(
        r.required_integer("containerID", UINT32),
        r.required_integer("hostID", UINT32),
        r.required_integer("size", UINT32),
    )


def read_mount(r: Reader) -> Mount:
    """Read an entry of `mounts` (config.md#mounts)."""
    return Mount(
        r.required_string("destination"),
        r.string("type"),
        r.string("source"),
        r.strings("options"),
        r.objects("uidMappings", read_id_mapping),
        r.objects("gidMappings", read_id_mapping),
    )
