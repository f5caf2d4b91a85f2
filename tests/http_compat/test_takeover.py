"""May a session be replaced: every set of facts, against the sentences of the rule."""

import dataclasses
import itertools
import math

import pytest

from http_compat.policy import SessionPolicy
from http_compat.takeover import IDLE_S, CallFacts, must_wait_s

IDLE_TIMES_S = (0.0, 0.001, 1.0, 1.999, 2.0, 5.5, 28.0, 29.0, 29.5, 30.0, 3600.0)
EVERY_CASE = [
    (
        policy,
        CallFacts(
            is_same_host=is_same_host,
            is_stopped=is_stopped,
            has_a_beat=has_a_beat,
            rests=rests,
            idle_s=idle_s,
        ),
    )
    for policy in SessionPolicy
    for is_same_host, is_stopped, has_a_beat, rests in itertools.product((False, True), repeat=4)
    for idle_s in IDLE_TIMES_S
]


def may_be_replaced(policy: SessionPolicy, facts: CallFacts) -> bool:
    """The rule, sentence by sentence."""
    if facts.is_stopped:
        return True  # a call does not run any more when its caller said so
    if policy is not SessionPolicy.IDLE:
        return policy is SessionPolicy.TAKEOVER
    if facts.idle_s >= 30.0:
        return True  # it was idle for half a minute
    if not (facts.is_same_host and facts.rests):
        return False  # anybody else waits, and so does everybody while an answer is due
    if facts.has_a_beat:
        return facts.idle_s >= 2.0  # between two of its seconds a duplex call rests as well
    return True  # a host that opens a session again is taken for the same caller


def test_who_may_replace_a_session() -> None:
    for policy, facts in EVERY_CASE:
        assert (must_wait_s(policy, facts) is None) is may_be_replaced(policy, facts), (policy, facts)


def test_whoever_must_wait_is_told_whole_seconds_and_no_more_than_half_a_minute() -> None:
    for policy, facts in EVERY_CASE:
        wait_s = must_wait_s(policy, facts)
        if wait_s is not None:
            assert 1.0 <= wait_s <= IDLE_S, (policy, facts)
            assert wait_s == math.floor(wait_s)


def test_when_nothing_more_happens_whoever_comes_again_when_told_has_not_come_too_early() -> None:
    for policy, facts in EVERY_CASE:
        wait_s = must_wait_s(policy, facts)
        if policy is SessionPolicy.IDLE and wait_s is not None and facts.idle_s > 0.0:
            later = dataclasses.replace(facts, idle_s=facts.idle_s + wait_s)
            assert must_wait_s(policy, later) is None, facts


@pytest.mark.parametrize(
    ("idle_s", "expected"), [(0.0, 5.0), (0.5, 30.0), (1.0, 29.0), (28.5, 2.0), (29.0, 1.0), (29.9, 1.0), (30.0, None)]
)
def test_how_long_somebody_else_waits(idle_s: float, expected: float | None) -> None:
    facts = CallFacts(is_same_host=False, is_stopped=False, has_a_beat=False, rests=True, idle_s=idle_s)
    assert must_wait_s(SessionPolicy.IDLE, facts) == expected
