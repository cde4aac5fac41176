"""bundles/rootfs.py: programs with their libraries, tars that mean no good, images and their layers."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles import elf, image, rootfs, untar
from bundles.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

Entry = tuple[str, str | bytes | None]  # name; b"content" of a file, "-> target", "=> hard link", None: a directory


def member_of(name: str, what: str | bytes | None) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.mode = 0o644
    if what is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    elif isinstance(what, str):
        arrow, _, member.linkname = what.partition(" ")
        member.type = tarfile.SYMTYPE if arrow == "->" else tarfile.LNKTYPE
    else:
        member.size = len(what)
    return member, what if isinstance(what, bytes) else b""


def tar_of(*entries: Entry, edit: Callable[[tarfile.TarInfo], object] = bool) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in entries:
            member, content = member_of(name, what)
            edit(member)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(folder: Path, *entries: Entry, alone: bool = False) -> list[str]:
    with Tree(folder) as tree:
        return untar.unpack(lambda: io.BytesIO(tar_of(*entries)), tree, alone)


def files(folder: Path) -> dict[str, str]:
    """Every name below a folder but directories, with its text, or where it leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


# programs


@pytest.mark.parametrize("program", ["sh", "ls", "ip", "python3", "mount", "gcc", "bash"])
def test_libraries_are_those_that_the_loader_names(program: str) -> None:
    """ld.so(8), --list: it is asked here because these are this host's own programs."""
    path = shutil.which(program, path="/usr/bin:/usr/sbin")
    assert path, f"no {program} here"
    loader = elf.Elf(Path(path)).interpreter
    said = subprocess.run([loader, "--list", path], check=True, capture_output=True, text=True).stdout
    expected = {str(Path(word).resolve()) for word in said.split() if word.startswith("/")}
    found = {str(library.path.resolve()) for library in elf.loader_and_libraries(Path(path))}
    assert found == expected | {str(Path(loader).resolve())}


def test_a_program_is_not_run_to_find_its_libraries(tmp_path: Path) -> None:
    """ldd would start the loader that a file names: here it is one that leaves a trace."""
    trace, loader = tmp_path / "trace", tmp_path / "l"
    loader.write_text(f"#!/bin/sh\ntouch {trace}\n")
    loader.chmod(0o755)
    original = Path("/bin/sh").resolve().read_bytes()
    interpreter = elf.Elf(Path("/bin/sh")).interpreter.encode()
    named = os.fsencode(loader)[: len(interpreter)]
    evil = tmp_path / "evil"
    evil.write_bytes(original.replace(interpreter, named.ljust(len(interpreter), b"\0")))
    assert elf.Elf(evil).interpreter == named.decode()
    elf.loader_and_libraries(evil)
    assert not trace.exists()


@pytest.mark.parametrize("length", [5, 20, 64, 500, 5000])
def test_a_broken_program_is_an_error(tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(Path("/bin/sh").resolve().read_bytes()[:length])
    with pytest.raises(ValueError, match="cut off"):
        elf.loader_and_libraries(cut)


def test_a_script_needs_no_libraries(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert elf.loader_and_libraries(tmp_path / "script") == []


@pytest.mark.requires("root", "busybox")
@pytest.mark.parametrize("program", ["ip", "ls", "bash"])
def test_a_program_starts_with_what_was_copied(tmp_path: Path, program: str) -> None:
    rootfs.build(tmp_path / "root", [program])
    done = subprocess.run(["chroot", tmp_path / "root", f"/bin/{program}", "--help"], capture_output=True, check=False)
    assert done.returncode in (0, 255), done.stderr  # ip says -1 after its help


@pytest.mark.requires("busybox")
def test_links_in_a_tree_do_not_lead_out_of_it(tmp_path: Path) -> None:
    """A container was root in it, and is now built upon."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "passwd").write_text("the host's")
    tree.mkdir()
    (tree / "etc").symlink_to(outside)
    (tree / "bin").symlink_to("../../../../../../.." + str(tmp_path / "other"))
    rootfs.build(tree, [])
    assert files(outside) == {"passwd": "the host's"}
    assert not (tmp_path / "other").exists()
    with Tree(tree) as inside, inside.open("etc/passwd") as fd:
        assert os.read(fd, 5) == b"root:"


@pytest.mark.requires("busybox")
def test_the_command_line(tmp_path: Path) -> None:
    command = [shutil.which("python3") or "", str(rootfs.REPOSITORY / "bundles/rootfs.py"), str(tmp_path / "root")]
    done = subprocess.run([*command, "--with", "ls"], capture_output=True, text=True, check=True, cwd="/")
    assert "made from" in done.stdout
    assert (tmp_path / "root/bin/ls").exists()
    done = subprocess.run([*command, "--with", "no-such"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "rootfs: no-such: no such program on this host\n"


# tars


def test_a_tar_is_unpacked(tmp_path: Path) -> None:
    unpack(tmp_path, ("./", None), ("./a/b", b"text"), ("a/c", "-> b"), ("a/d", "=> a/b"))
    assert files(tmp_path) == {"a/b": "text", "a/c": "-> b", "a/d": "text"}
    assert (tmp_path / "a/b").stat().st_ino == (tmp_path / "a/d").stat().st_ino


def test_leading_slashes_are_the_trees_root(tmp_path: Path) -> None:
    unpack(tmp_path / "tree", ("/etc/passwd-of-a-test", b"x"))
    assert files(tmp_path / "tree") == {"etc/passwd-of-a-test": "x"}


EVIL: dict[str, list[Entry]] = {
    "up": [("../victim", b"x")],
    "up within": [("a/../../victim", b"x")],
    "hard link up": [("a", "=> ../victim")],
    "whiteout of the root": [("..", None)],
    "whiteout of ..": [("a/.wh...", b"")],
    "whiteout of .": [("a/.wh..", b"")],
    "whiteout of nothing": [("a/.wh.", b"")],
    "a file as the root": [("./", b"x")],
}


@pytest.mark.parametrize("name", EVIL)
def test_what_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_text("safe")
    with pytest.raises(ValueError, match=r"outside|nothing|root"):
        unpack(tmp_path / "tree", *EVIL[name])
    assert (tmp_path / "victim").read_text() == "safe"


@pytest.mark.parametrize("target", ["..", "../../../../..", "{outside}", "/proc/self/cwd"])
def test_a_link_is_followed_inside_only(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").write_text("safe")
    link = target.format(outside=tmp_path)
    unpack(tmp_path / "tree", ("a/link", f"-> {link}"), ("a/link/victim", b"x"), ("b/.wh.c", b""))
    assert (tmp_path / "victim").read_text() == "safe"
    assert "x" in files(tmp_path / "tree").values()


def test_a_file_replaces_a_link_and_does_not_go_through_it(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    unpack(tmp_path / "tree", ("a", f"-> {tmp_path}/victim"), ("a", b"new"))
    assert (tmp_path / "victim").read_text() == "safe"
    assert files(tmp_path / "tree") == {"a": "new"}


def test_a_hard_link_to_a_link_is_to_the_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    unpack(tmp_path / "tree", ("a", f"-> {tmp_path}/victim"), ("b", "=> a"))
    assert files(tmp_path / "tree")["b"] == f"-> {tmp_path}/victim"


def test_a_directory_takes_the_place_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    unpack(tmp_path / "tree", ("a", f"-> {tmp_path}/victim"), ("a", None), ("a/b", b"x"))
    assert files(tmp_path) == {"tree/a/b": "x"}


def test_a_whiteout_does_not_follow_links_out(tmp_path: Path) -> None:
    (tmp_path / "victims").mkdir()
    (tmp_path / "victims/one").write_text("safe")
    tree = tmp_path / "tree"
    unpack(tree, ("a", f"-> {tmp_path}/victims"))
    unpack(tree, ("a/.wh.one", b""), ("a/.wh..wh..opq", b""))
    assert (tmp_path / "victims/one").read_text() == "safe"


def test_permissions_are_kept_and_directories_may_be_closed(tmp_path: Path) -> None:
    content = tar_of(("a", None), ("a/b", b"x"), edit=lambda member: setattr(member, "mode", 0o4555))
    with Tree(tmp_path) as tree:
        untar.unpack(lambda: io.BytesIO(content), tree)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o4555, 0o4555]
    (tmp_path / "a").chmod(0o755)


@pytest.mark.requires("root")
def test_root_keeps_owners_devices_and_capabilities(tmp_path: Path) -> None:
    capability = "01000002" + "00040000" + "00" * 12  # VFS_CAP_REVISION_2, effective: CAP_NET_BIND_SERVICE

    def edit(member: tarfile.TarInfo) -> None:
        member.uid, member.gid = 12, 34
        if member.name == "null":
            member.type, member.devmajor, member.devminor, member.size = tarfile.CHRTYPE, 1, 3, 0
        elif member.name == "server":
            text = bytes.fromhex(capability).decode("utf-8", "surrogateescape")
            member.pax_headers = {
                "SCHILY.xattr.security.capability": text,
                "SCHILY.xattr.trusted.overlay.redirect": "/etc",
            }

    content = tar_of(("server", b"x"), ("null", b""), edit=edit)
    with Tree(tmp_path) as tree:
        untar.unpack(lambda: io.BytesIO(content), tree)
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)
    assert ((tmp_path / "server").stat().st_uid, (tmp_path / "server").stat().st_gid) == (12, 34)
    assert os.listxattr(tmp_path / "server") == ["security.capability"]
    assert os.getxattr(tmp_path / "server", "security.capability").hex() == capability


# layers

BASE: list[Entry] = [
    ("dir", None),
    ("dir/a", b"a1"),
    ("dir/b", b"b1"),
    ("keep", b"k1"),
    ("gone", None),
    ("gone/x", b"x"),
    ("swap", None),
    ("swap/old", b"o"),
    ("lib", "-> usr/lib"),
    ("usr/lib/one", b"1"),
]
SECOND: list[Entry] = [
    ("dir/b", b"b2"),  # before the whiteout that hides only what is below
    ("dir/.wh..wh..opq", b""),
    (".wh.gone", b""),
    ("swap", None),
    ("swap/new", b"n"),
    (".wh.swap", b""),
    ("usr/lib/two", b"2"),
    ("usr/lib/three", "=> usr/lib/two"),
]
MERGED = {
    "dir/b": "b2",
    "keep": "k1",
    "swap/new": "n",
    "lib": "-> usr/lib",
    "usr/lib/one": "1",
    "usr/lib/two": "2",
    "usr/lib/three": "2",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    image.write(path, [tar_of(*BASE), tar_of(*SECOND)], {"Cmd": ["sh"], "Env": ["A=1"]}, "test:1")
    return path


def test_layers_over_one_another(archive: Path, tmp_path: Path) -> None:
    assert rootfs.from_image(tmp_path / "tree", archive) == []
    assert files(tmp_path / "tree") == MERGED


@pytest.mark.requires("root", "overlay")
def test_layers_side_by_side_are_the_same_to_overlay(archive: Path, tmp_path: Path) -> None:
    folders = rootfs.from_layers(tmp_path / "layers", archive)
    assert [folder.name for folder in folders] == ["1", "0"]
    (tmp_path / "merged").mkdir()
    script = 'mount -t overlay -o "lowerdir=$0" o "$1" && cp -a "$1" "$2"'
    lower = ":".join(map(str, folders))
    command = ["unshare", "-m", "sh", "-c", script, lower, str(tmp_path / "merged"), str(tmp_path / "copy")]
    subprocess.run(command, check=True)
    assert files(tmp_path / "copy") == MERGED


def test_an_image_says_how_its_program_is_started(archive: Path) -> None:
    with image.read(archive) as found:
        assert dict(image.process_of(found.config)) == {"args": ["sh"], "env": ["A=1"], "cwd": "/"}


def test_one_of_several_by_its_name(archive: Path) -> None:
    with image.read(archive, "1") as found:
        assert len(found.layers) == 2
    with pytest.raises(ValueError, match="not one image but 0"):
        image.read(archive, "2")


@pytest.fixture
def layout(archive: Path, tmp_path: Path) -> Path:
    """The same as a folder."""
    rootfs.from_tar(tmp_path / "layout", archive)
    return tmp_path / "layout"


def test_an_image_may_be_a_folder(layout: Path, tmp_path: Path) -> None:
    rootfs.from_image(tmp_path / "tree", layout)
    assert files(tmp_path / "tree") == MERGED


def test_a_changed_blob_is_refused(layout: Path, tmp_path: Path) -> None:
    for blob in (layout / "blobs/sha256").iterdir():
        content = blob.read_bytes()
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match="has been changed"):
            rootfs.from_image(tmp_path / "tree", layout)
        blob.write_bytes(content)
    assert not (tmp_path / "tree").exists() or files(tmp_path / "tree") == {}


def test_a_digest_is_no_path(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["digest"] = "sha256:../../../etc/passwd"
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is not a sha256 digest"):
        image.read(layout)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2"])
def test_an_exported_container(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"export.tar{suffix}"
    tool = {"": "cat", ".gz": "gzip -c", ".xz": "xz -c", ".bz2": "bzip2 -c"}[suffix]
    done = subprocess.run(tool.split(), input=tar_of(("bin/sh", b"shell")), capture_output=True, check=True)
    path.write_bytes(done.stdout)
    assert rootfs.from_tar(tmp_path / "tree", path) == []
    assert files(tmp_path / "tree") == {"bin/sh": "shell"}


def test_an_image_of_docker_save(tmp_path: Path) -> None:
    layers = {"a/layer.tar": tar_of(*BASE), "b/layer.tar": tar_of(*SECOND)}
    diff_ids = [f"sha256:{image.digest_of(io.BytesIO(layer))}" for layer in layers.values()]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["test:1"], "Layers": list(layers)}]
    path = tmp_path / "saved.tar"
    path.write_bytes(tar_of(*layers.items(), ("c.json", config), ("manifest.json", json.dumps(manifest).encode())))
    rootfs.from_image(tmp_path / "tree", path, "test:1")
    assert files(tmp_path / "tree") == MERGED


# Debian


@pytest.mark.requires("root", "debian-mirror")
def test_debian_from_the_network(tmp_path: Path) -> None:
    """As little of it as mmdebstrap can install: what matters is that its shell runs."""
    rootfs.debian(tmp_path / "tree", "stable", variant="essential")
    said = subprocess.run(
        ["chroot", tmp_path / "tree", "sh", "-c", ". /etc/os-release; echo $ID"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "debian\n"
