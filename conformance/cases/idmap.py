"""config.md, "Mounts": uidMappings and gidMappings, and the options idmap and ridmap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import host
from conformance.case import NotApplicable, case, equal
from conformance.cases.mounts import DATA, bind

if TYPE_CHECKING:
    from conformance.box import Box

OUTSIDE = 1000
MAPPING = [{"containerID": 0, "hostID": OUTSIDE, "size": 10}]
TOP, BELOW = f"{DATA}/file", f"{DATA}/below/mark"


def offered(box: Box) -> Box:
    """Return the box. Raises NotApplicable where the features do not say that mappings are used."""
    if not box.features().get("linux", {}).get("mountExtensions", {}).get("idmap", {}).get("enabled"):
        raise NotApplicable("its features do not offer idmap")
    return box


def mapped(box: Box, *options: str) -> Box:
    """Bind a directory with mappings."""
    bind(box, *options)
    box.config["mounts"][-1].update(uidMappings=MAPPING, gidMappings=MAPPING)
    return box


def owners(box: Box, *options: str) -> dict[str, Any]:
    """Bind the directory with mappings and these options; return the owners of a file in each of the two mounts."""
    del box.config["mounts"][3:]
    seen = mapped(box, *options).ask("stat", TOP, BELOW)
    return {path: seen[path]["uid"] for path in (TOP, BELOW)}


@case(44, 43, justified="config.md: uidMappings and gidMappings MUST be there together")
def half_a_mapping_is_an_error(box: Box) -> None:
    """Of uidMappings and gidMappings of a mount one alone is an error."""
    bind(box, "bind", "idmap")
    box.config["mounts"][-1]["uidMappings"] = MAPPING
    box.create().failed()


@case(
    43,
    135,
    needs="idmapped-mounts",
    justified="config.md, idmap: MUST be made with these mappings; newer than runc 1.1, and crun 1.8 does not say so",
)
def idmapped_bind(box: Box) -> None:
    """With mappings and idmap the files of a bind mount have other owners."""
    seen = mapped(offered(box), "bind", "idmap").ask("stat", TOP)
    equal((seen[TOP]["uid"], seen[TOP]["gid"]), (OUTSIDE, OUTSIDE), "the owner inside of root's file")


@case(43, justified="config.md: idmap without mappings and without a user namespace MUST be an error")
def idmap_without_mappings_is_an_error(box: Box) -> None:
    """Idmap and ridmap without mappings and without a user namespace are errors: there is nothing to map by."""
    for option in ("idmap", "ridmap"):
        bind(box, "bind", option).create().failed()
        box.config["mounts"].pop()
        equal(box.left_behind(), [], f"what is left after {option}")


@case(
    *(45, 41),
    level="SHOULD",
    needs="idmapped-mounts",
    justified="config.md, mount options idmap and ridmap, since 1.2: runc 1.1 does not know them, nor crun 1.8 say so",
)
def recursive_only_with_ridmap(box: Box) -> None:
    """Ridmap is for the mounts below as well; idmap, and mappings with neither, are for the one mount."""
    offered(box)
    inner, below = box.bundle / "inner", box.bundle / "shared/below"
    inner.mkdir()
    (inner / "mark").write_text("x")
    below.mkdir(parents=True)
    host.own_mounts()
    host.cover(inner, below)
    try:
        equal(owners(box, "rbind", "ridmap"), {TOP: OUTSIDE, BELOW: OUTSIDE}, "owners with ridmap")
        equal(owners(box, "rbind", "idmap"), {TOP: OUTSIDE, BELOW: 0}, "owners with idmap")
        equal(owners(box, "rbind"), {TOP: OUTSIDE, BELOW: 0}, "owners with neither")
    finally:
        host.uncover(below)
