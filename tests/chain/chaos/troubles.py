"""Trouble in turn: each process killed with -9 or paused, each way cut off, in a seeded random order, one after the other."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chain.chaos.members import Victim
from tests.chain.chaos.stage import Stage

CALM = (0.5, 2.0)
"""Seconds between two troubles."""


@dataclass
class Troubles:
    """`play(seconds)` makes trouble until the time is over; afterwards everything runs and every way is open."""

    stage: Stage
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)

    def play(self, seconds: float) -> None:
        chance, ends = random.Random(self.seed), time.monotonic() + seconds
        while time.monotonic() < ends:
            round_ = self._all()
            chance.shuffle(round_)
            for name, lengths, trouble in round_:
                if time.monotonic() >= ends:
                    return
                length = chance.uniform(*lengths)
                self.log.append(f"{time.time() - self.began:7.1f} s: {name} for {length:.1f} s")
                with trouble():
                    _wait(length)
                self.done[name] += 1
                _wait(chance.uniform(*CALM))

    def _all(self) -> list[tuple[str, tuple[float, float], Callable[[], object]]]:
        found: list[tuple[str, tuple[float, float], Callable[[], object]]] = []
        for name, victim in self.stage.victims.items():
            found.append((f"kill {name}", (0.1, 2.5), lambda victim=victim: _killed(victim)))
            found.append((f"pause {name}", (1.0, 6.0), lambda victim=victim: _paused(victim)))
        for name in self.stage.tunnels:
            found.append((f"cut {name}", (0.5, 4.0), lambda name=name: self._cut(name)))
        for mode in ("refuse", "swallow"):
            found.append((f"cut front ({mode})", (0.5, 4.0), lambda mode=mode: self._front(mode)))
        return found

    @contextmanager
    def _cut(self, name: str) -> Iterator[None]:
        self.stage.tunnels[name].cut()
        try:
            yield
        finally:
            self.stage.tunnels[name].heal()

    @contextmanager
    def _front(self, mode: str) -> Iterator[None]:
        self.stage.front.mode = mode
        try:
            yield
        finally:
            self.stage.front.mode = "pass"


@contextmanager
def _killed(victim: Victim) -> Iterator[None]:
    victim.kill()
    try:
        yield
    finally:
        victim.start()


@contextmanager
def _paused(victim: Victim) -> Iterator[None]:
    victim.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        victim.signal(signal.SIGCONT)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
