"""The loop of a process without threads: what to do when a descriptor is ready, at a time, when a child has ended."""

from __future__ import annotations

import posix
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal  # signal would import enum

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
URGENT = select.EPOLLPRI
_LONGEST = 3600.0  # seconds


class Timer:
    """Something to be done later, unless it is cancelled."""

    def __init__(self, due: float, act: Callable[[], None]) -> None:
        self.due = due
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        """Let it be."""
        self.cancelled = True


class Loop:
    """One epoll(7), and who waits for what. Callbacks are called one after the other, and must not block."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        """Hand what a callback raises to `report`: it is a bug, and no reason for the others to stop."""
        self._report = report
        self._epoll = select.epoll()
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._soon: list[Callable[[], None]] = []
        self._children: dict[int, Callable[[int], None]] = {}
        self._unclaimed: dict[int, int] = {}
        self._claims = 0
        self._running = False
        self._wake = (-1, -1)

    def watch(self, fd: int, events: int, act: Callable[[int], None]) -> None:
        """Call `act` with what is ready, whenever a descriptor is. EPOLLHUP and EPOLLERR are told unasked."""
        self._epoll.register(fd, events)
        self._watchers[fd] = act

    def change(self, fd: int, events: int) -> None:
        """Wait for something else of a watched descriptor."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch it no longer; to be called before it is closed."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> Timer:
        """Call `act` once, after so many seconds."""
        timer = Timer(time.monotonic() + seconds, act)
        self._timers.append(timer)
        self._timers.sort(key=lambda each: each.due)
        return timer

    def soon(self, act: Callable[[], None]) -> None:
        """Call `act` once, when what is being done now is done."""
        self._soon.append(act)

    # children

    def heed_children(self) -> None:
        """Begin to wait for children, adopted ones as well (prctl(2), PR_SET_CHILD_SUBREAPER)."""
        self._wake = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, _nothing)
        self.watch(self._wake[0], READ, self._reap)

    def on_end(self, pid: int, act: Callable[[int], None]) -> None:
        """Call `act` with a child's wait status, once it has ended; it may have already."""
        if pid in self._unclaimed:
            status = self._unclaimed.pop(pid)
            self.soon(lambda: act(status))
        else:
            self._children[pid] = act

    def claim_children(self) -> None:
        """Keep the status of unknown children from now on: one of them may be asked for by on_end."""
        self._claims += 1

    def release_children(self) -> None:
        """Say that no more unknown children are coming; who has claimed them last has asked for all that matter."""
        self._claims -= 1
        if not self._claims:
            self._unclaimed.clear()

    def _reap(self, _: int) -> None:
        posix.read(self._wake[0], 4096)
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            act = self._children.pop(pid, None)
            if act is not None:
                self._serve(act, status)
            elif self._claims:
                self._unclaimed[pid] = status

    # life

    def run(self) -> None:
        """Go on until stop is called."""
        self._running = True
        while self._running:
            self.turn(_LONGEST)

    def turn(self, longest: float) -> None:
        """Wait for one round of events, for at most so many seconds, and serve them."""
        for fd, events in self._epoll.poll(self._wait(longest)):
            # Whoever was served before it in this round may have closed it.
            act = self._watchers.get(fd)
            if act is not None:
                self._serve(act, events)
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            timer = self._timers.pop(0)
            if not timer.cancelled:
                self._call(timer.act)
        soon, self._soon = self._soon, []
        for each in soon:
            self._call(each)

    def _serve(self, act: Callable[[int], None], events: int) -> None:
        self._call(lambda: act(events))

    def _call(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as err:  # noqa: BLE001 - all of them are told
            self._report(err)

    def _wait(self, longest: float) -> float:
        if self._soon:
            return 0.0
        self._timers = [each for each in self._timers if not each.cancelled]
        return min(longest, max(0.0, self._timers[0].due - time.monotonic())) if self._timers else longest

    def stop(self) -> None:
        """Let run return after this round."""
        self._running = False

    def close(self) -> None:
        """Let go of all descriptors of its own."""
        self._epoll.close()


def _nothing(_number: int, _frame: object) -> None:
    """Do nothing: the number is read from the wake-up pipe."""
