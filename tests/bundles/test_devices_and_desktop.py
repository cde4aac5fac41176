"""devices-and-desktop: a program of the container has a window on the host's screen, and what else a desktop needs."""

from __future__ import annotations

import os
import runpy
from typing import TYPE_CHECKING, Any

import pytest

from bundles.folder import HERE
from tests.bundles.built import Built, paragraphs
from tests.bundles.screen import HEIGHT, WIDTH, Screen, screen
from tests.scenario import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundles.conftest import Builder

pytestmark = pytest.mark.requires("root", "busybox", "xvfb")

USER, GROUP = 1000, 1001
BACKGROUND, LOGO = 0x204A87, 0xFCAF3E
SOUND_CARD = (116, 200)  # ALSA's major number and a card that no machine has
ENXIO = "No such device or address"
EPERM = "Operation not permitted"


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    with screen(tmp_path_factory.mktemp("screen")) as virtual:
        yield virtual


@pytest.fixture
def box(built: Builder, desktop: Screen, monkeypatch: pytest.MonkeyPatch) -> Built:
    """The bundle as it is built on that desktop by its user."""
    monkeypatch.setenv("DISPLAY", desktop.display)
    monkeypatch.setenv("XAUTHORITY", str(desktop.authority))
    monkeypatch.setenv("XMODIFIERS", "@im=fcitx")
    monkeypatch.setenv("SUDO_UID", str(USER))
    monkeypatch.setenv("SUDO_GID", str(GROUP))
    return built("devices-and-desktop")


def instead(box: Built, script: str) -> None:
    """Run something else than the window."""
    box.change("", lambda config: config["process"].update(args=["sh", "-c", script]))


def test_a_window_on_the_hosts_screen(box: Built, desktop: Screen) -> None:
    assert BACKGROUND not in desktop.pixels()
    box.create()
    box.start()
    assert host.eventually(lambda: desktop.at(140, 45) == BACKGROUND, 20)
    pixels = desktop.pixels()
    window = [pixels[y * WIDTH + x] for y in range(40, 240) for x in range(40, 240)]
    assert set(window) == {BACKGROUND, LOGO}
    assert 0.1 < window.count(LOGO) / len(window) < 0.5
    assert len(pixels) == WIDTH * HEIGHT
    assert not {BACKGROUND, LOGO} & {pixels[y * WIDTH + x] for y in range(HEIGHT) for x in range(40)}
    box.kill()
    assert host.eventually(lambda: BACKGROUND not in desktop.pixels(), 30), "the window outlives its container"


def test_without_the_cookie_there_is_no_window(box: Built) -> None:
    (box.dir / "xauthority").write_bytes(b"")
    result = box.run()
    assert result.returncode != 0
    assert "Can't open display" in result.stderr


def test_the_hosts_user_with_the_groups_of_its_devices(box: Built) -> None:
    instead(box, "sed '/^exec/d' /desktop.sh | sh")
    groups = runpy.run_path(str(HERE / "devices-and-desktop/build.py"))["groups"]()
    assert groups, "this host knows neither audio nor video"
    said = paragraphs(box.run().ok().stdout)["who am I"]
    assert said == f"uid {USER}, gid {GROUP}, groups {GROUP} {' '.join(map(str, groups))}"


def test_input_method(box: Built, desktop: Screen) -> None:
    instead(box, "env; exec ls -l /xauthority")
    said = box.run().ok().stdout
    assert f"DISPLAY={desktop.display}\n" in said
    assert "XMODIFIERS=@im=fcitx\n" in said
    assert "-rw-------" in said


def test_the_data_folder_is_shared(box: Built) -> None:
    (box.dir / "data/from-the-host").write_text("hello\n")
    instead(box, "cat from-the-host; echo thanks > from-inside")
    assert box.run().ok().stdout == "hello\n"
    answer = box.dir / "data/from-inside"
    assert (answer.read_text(), answer.stat().st_uid) == ("thanks\n", USER)


def test_sound_cards_are_there_and_may_be_opened(box: Built) -> None:
    """The host's own kernel has no such card: it says so, where the cgroup alone would have refused."""
    dev = box.dir.parent / "dev"
    (dev / "snd").mkdir(parents=True)
    os.mknod(dev / "snd/controlC9", 0o20600, os.makedev(*SOUND_CARD))
    (dev / "snd/controlC9").chmod(0o660)
    os.chown(dev / "snd/controlC9", 0, USER)
    add = runpy.run_path(str(HERE / "devices-and-desktop/build.py"))["add_devices"]
    box.change("", lambda config: add(config, dev))
    instead(box, "stat -c '%n %a %g %t:%T' /dev/snd/*; : < /dev/snd/controlC9")
    box.change("", lambda config: config["process"]["user"].update(gid=USER))
    opened = box.run()
    assert opened.stdout.startswith(f"/dev/snd/controlC9 660 {USER} 74:c8")
    assert ENXIO in opened.stderr
    box.change("", without_last_rule)
    assert EPERM in box.run(id="refused").stderr


def without_last_rule(config: dict[str, Any]) -> None:
    config["linux"]["resources"]["devices"].pop()
