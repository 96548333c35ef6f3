"""Places in the house: never more than the limit, never fewer than none, each given back once."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from serving.errors import Overloaded
from serving.governance.admission import InFlightLimit, Intake, Place


def test_over_the_limit_is_refused_until_a_place_is_given_back() -> None:
    house = InFlightLimit(1)
    place = house.admit("acme", now=0.0)
    with pytest.raises(Overloaded, match="1 requests are in flight") as caught:
        house.admit("other", now=0.0)
    assert caught.value.retry_after_s == 1
    place.settle(0.5)
    house.admit("other", now=0.0)


def test_bodies_are_read_only_where_there_is_a_place_for_them() -> None:
    house = InFlightLimit(2)
    intake, place = Intake(house), house.admit("acme", now=0.0)
    with intake:
        assert intake.reading == 1
        with pytest.raises(Overloaded, match="2 requests are in flight"):
            intake.__enter__()
    with pytest.raises(KeyError), intake:
        raise KeyError
    assert intake.reading == 0
    place.settle(0.0)
    with intake, intake:
        assert intake.reading == 2


class House(RuleBasedStateMachine):
    """Any order of admitting, settling and abandoning, with places given back more than once."""

    places = Bundle("places")

    @initialize(limit=st.integers(1, 4))
    def open(self, limit: int) -> None:
        self.limit = limit
        self.house = InFlightLimit(limit)
        self.held: set[Place] = set()

    @rule(target=places)
    def admit(self) -> Place | None:
        if len(self.held) == self.limit:
            with pytest.raises(Overloaded):
                self.house.admit("acme", now=0.0)
            return None
        place = self.house.admit("acme", now=0.0)
        self.held.add(place)
        return place

    @rule(place=places, cost_usd=st.floats(0, 1))
    def settle(self, place: Place | None, cost_usd: float) -> None:
        if place is not None:
            place.settle(cost_usd)
            self.held.discard(place)

    @rule(place=places)
    def abandon(self, place: Place | None) -> None:
        if place is not None:
            place.abandon()
            self.held.discard(place)

    @invariant()
    def in_flight_is_what_is_held(self) -> None:
        if hasattr(self, "house"):
            assert self.house.in_flight == len(self.held)
            assert 0 <= self.house.in_flight <= self.limit


TestHouse = House.TestCase
TestHouse.settings = settings(max_examples=40, stateful_step_count=25)
