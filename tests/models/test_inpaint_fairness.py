"""Fair between requests: one picture beside floods of eight, on a clock of planted costs; and the equal shares."""

import math

import numpy as np
import pytest

from deployments.inpaint import policy
from deployments.inpaint.lane import Lane
from deployments.inpaint.policy import choose, seated
from deployments.inpaint.shares import EqualShares

STEPS = 30
ROOM = 64  # rows
MEASURED = {2: 12.3, 4: 18.2, 8: 34.2, 16: 70.9, 32: 141.8, 64: 283.6}  # ms of the pocket painter on two cores


def on_cpu(rows):
    return float(np.interp(rows, list(MEASURED), list(MEASURED.values()))) / 1000


class Sheet:
    """What the policy and the lane look at of a painting."""

    def __init__(self, steps):
        self.steps, self.taken, self.rows = steps, 0, 2

    @property
    def finished(self):
        return self.taken == self.steps


class Request:
    def __init__(self, caller, now, n, steps):
        self.caller, self.came_s = caller, now
        self.sheets = [Sheet(steps) for _ in range(n)]


class Caller:
    """Asks for n pictures, `pause_s` after each answer again, from `first_s` on; keeps the latencies."""

    def __init__(self, n, steps=STEPS, first_s=0.0, pause_s=0.02):
        self.n, self.steps, self.asks_s, self.pause_s = n, steps, first_s, pause_s
        self.latencies_s = []


class Simulation:
    """A lane whose steps take what they cost, on a clock of its own."""

    def __init__(self, callers, cost=on_cpu, room=ROOM):
        self.callers, self.cost, self.room = callers, cost, room
        self.lane = Lane(denoiser=None)
        self.now_s, self.rows = 0.0, 0
        self.owners = {}

    def run(self, until_s):
        while self.now_s < until_s:
            for caller in self.callers:
                if caller.asks_s <= self.now_s:
                    self.ask(caller)
            if self.lane.claims:
                self.step()
            else:
                self.now_s = min(until_s, *(caller.asks_s for caller in self.callers))
        return self

    def ask(self, caller):
        request = Request(caller, caller.asks_s, caller.n, caller.steps)
        caller.asks_s = math.inf
        self.lane.join(request.sheets, None)
        self.owners |= dict.fromkeys(request.sheets, request)

    def step(self):
        claims, shares = self.lane.claims, self.lane.shares
        chosen = choose(claims, seated(claims, self.room), shares.now, self.cost)
        rows = sum(sheet.rows for sheet in chosen)
        shares.advance(rows)
        self.now_s += on_cpu(rows)
        self.rows += rows
        for sheet in chosen:
            sheet.taken += 1
            if sheet.finished:
                self.finish(sheet)

    def finish(self, sheet):
        self.lane.leave(sheet)
        request = self.owners.pop(sheet)
        if not any(other in self.owners for other in request.sheets):
            request.caller.latencies_s.append(self.now_s - request.came_s)
            request.caller.asks_s = self.now_s + request.caller.pause_s


def flooded(depth=2):
    """One caller of n=1 beside some of n=8, who all ask again as soon as they are answered."""
    floods = [Caller(8, first_s=0.3 * number) for number in range(depth)]
    victim = Caller(1, first_s=1.0, pause_s=0.17)
    return victim, floods, Simulation([*floods, victim]).run(40)


def slowdown(caller):
    """The 95th percentile of the latencies over that of the same request alone."""
    alone = Caller(caller.n, caller.steps, pause_s=math.inf)
    Simulation([alone]).run(10)
    return float(np.percentile(caller.latencies_s, 95)) / alone.latencies_s[0]


@pytest.mark.parametrize("depth", [1, 2])
def test_one_picture_beside_floods_of_eight_takes_less_than_twice_as_long_as_alone(depth):
    victim, _, _ = flooded(depth)
    assert len(victim.latencies_s) > 20
    assert slowdown(victim) < 2


def test_the_flood_waits_little_longer_than_with_equal_shares():
    _, floods, _ = flooded()
    for flood in floods:
        assert slowdown(flood) < 1.35 * 3


def test_the_machine_does_nearly_as_much_beside_a_flood_as_when_all_are_alike():
    _, _, mixed = flooded()
    alike = Simulation([Caller(1) for _ in range(16)]).run(40)
    assert mixed.rows > 0.9 * alike.rows


def pictures_counted(claim, now):
    """The worth of a picture by its own steps alone, as if each were a request."""
    first = claim.paintings[0]
    return (first.steps - first.taken) ** -0.5


def test_the_simulation_sees_a_policy_that_counts_pictures(monkeypatch):
    monkeypatch.setattr(policy, "_worth", pictures_counted)
    victim, _, _ = flooded()
    assert slowdown(victim) > 3


def among_short_ones():
    """How often a request for eight ends, while four callers ask for one picture each without a pause."""
    large = Caller(8, first_s=0.5, pause_s=math.inf)
    short = [Caller(1, first_s=0.05 * number, pause_s=0.0) for number in range(4)]
    Simulation([*short, large]).run(40)
    return len(large.latencies_s)


def test_a_request_for_eight_ends_among_short_ones_that_never_cease(monkeypatch):
    monkeypatch.setattr(policy, "PATIENCE", math.inf)  # the order alone has to see to it
    assert among_short_ones() == 1
    monkeypatch.setattr(EqualShares, "enter", lambda self, work: work)  # the shortest first, however long others wait
    monkeypatch.setattr(EqualShares, "advance", lambda self, work: None)
    assert among_short_ones() == 0


def test_where_room_is_short_a_flood_that_came_first_does_not_keep_it():
    flood, victim = Caller(8), Caller(1, first_s=1.0, pause_s=0.17)
    Simulation([flood, victim], cost=None, room=4).run(10)
    assert slowdown(victim) < 2


# The shares


def test_equal_shares_finish_each_in_its_turn():
    shares = EqualShares()
    short, long = shares.enter(10), shares.enter(30)
    shares.advance(20)
    assert shares.now == short
    later = shares.enter(5)
    assert short < later < long
    shares.advance(10)  # five each
    assert shares.now == later
    shares.advance(15)
    assert shares.now == long


def test_no_more_work_is_left_in_the_shares_than_in_truth():
    shares = EqualShares()
    shares.enter(100)
    gone, stays = shares.enter(40), shares.enter(40)
    shares.advance(30)  # all of it done for the first one in truth
    assert shares.now == 10
    shares.leave(gone, 40)  # it had none of its ten
    assert shares.now == 15
    shares.advance(50)
    assert shares.now == stays


def test_one_that_leaves_with_more_than_its_share_takes_it_along():
    shares = EqualShares()
    stays, gone = shares.enter(40), shares.enter(40)
    shares.advance(20)
    shares.leave(gone, 20)  # all twenty were done for it
    assert shares.now == 10
    shares.advance(30)
    assert shares.now == stays
