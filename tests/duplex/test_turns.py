"""Every sequence of events, to depth five, and the table itself."""

from itertools import product

import pytest

from duplex.turns import TABLE, InvalidTransition, TurnAction, TurnEvent, TurnMachine, TurnState

DEPTH = 5


def walk(events: tuple[TurnEvent, ...]) -> list[tuple[TurnEvent, tuple[TurnAction, ...]]]:
    machine = TurnMachine()
    steps = []
    for event in events:
        try:
            steps.append((event, machine.apply(event)))
        except InvalidTransition:
            break
    return steps


def test_every_sequence_to_depth_five_keeps_the_rules_of_a_response() -> None:
    """A response is closed once and never twice, an engine is broken only while it works, nothing follows a close.

    What is held is released or silenced, once, and nothing is held that cannot be heard.
    """
    sequences = 0
    for events in product(TurnEvent, repeat=DEPTH):
        open_response = audible = working = held = closed = False
        for event, actions in walk(events):
            sequences += 1
            assert not closed, "nothing may happen after CLOSE"
            if TurnAction.OPEN in actions:
                assert not open_response
                assert not working
                open_response = audible = working = True
            if TurnAction.END in actions:
                assert open_response
                open_response = working = False
            if TurnAction.HOLD in actions:
                assert audible
                assert not held
                held = True
            if TurnAction.RELEASE in actions:
                assert held
                held = False
            if TurnAction.FLUSH in actions:
                assert audible, "a flush needs something to silence"
                open_response = audible = held = False
            if TurnAction.INTERRUPT in actions:
                assert working, "an idle engine must not be broken: the flag would stick"
            if event in {TurnEvent.ENGINE_DRAINED, TurnEvent.ENGINE_LOST}:
                working = False
            if event is TurnEvent.PLAYED_OUT:
                audible = False
                assert not held, "nothing is left to hold"
            closed = event is TurnEvent.CLOSE
    assert sequences > 1000


def test_a_refused_event_leaves_the_state_alone() -> None:
    for state, event in product(TurnState, TurnEvent):
        machine = TurnMachine()
        machine.state = state
        if (state, event) in TABLE:
            machine.apply(event)
            assert machine.state is TABLE[state, event][0]
        else:
            with pytest.raises(InvalidTransition, match=f"{event.name}.*{state.name}"):
                machine.apply(event)
            assert machine.state is state


def test_every_state_but_closed_can_be_closed_and_reached() -> None:
    reachable = {TurnState.LISTENING} | {target for target, _ in TABLE.values()}
    assert reachable == set(TurnState)
    for state in TurnState:
        assert ((state, TurnEvent.CLOSE) in TABLE) == (state is not TurnState.CLOSED)


@pytest.mark.parametrize(
    ("state", "responding", "draining", "held"),
    [
        (TurnState.LISTENING, False, False, False),
        (TurnState.RESPONDING, True, False, False),
        (TurnState.RESPONDING_HELD, True, False, True),
        (TurnState.DRAINING, False, True, False),
        (TurnState.DRAINING_HELD, False, True, True),
        (TurnState.BREAKING, False, False, False),
        (TurnState.CLOSED, False, False, False),
    ],
)
def test_what_a_state_means(state: TurnState, responding: bool, draining: bool, held: bool) -> None:
    machine = TurnMachine()
    machine.state = state
    assert (machine.responding, machine.draining, machine.held) == (responding, draining, held)
    assert machine.audible is (responding or draining)


def test_a_held_state_knows_every_event_of_the_one_that_is_not() -> None:
    """Holding must not make an event impossible that could happen anyway."""
    for plain, held in (
        (TurnState.RESPONDING, TurnState.RESPONDING_HELD),
        (TurnState.DRAINING, TurnState.DRAINING_HELD),
    ):
        known = {event for state, event in TABLE if state is plain} - {TurnEvent.HOLD}
        assert {event for state, event in TABLE if state is held} == known | {TurnEvent.RELEASE}
