from collections import Counter

from bench.torture.plan import FAULT_NAMES, INTERFACES, make_plan
from duplex.engine.parrot.faults import FAULTS, Faults


def test_a_plan_is_made_anew_from_its_numbers() -> None:
    assert make_plan(7, 3) == make_plan(7, 3)
    assert make_plan(7, 3).choices().random() == make_plan(7, 3).choices().random()
    assert len({make_plan(7, index) for index in range(50)}) == 50


def test_everything_comes_up() -> None:
    plans = [make_plan(1, index) for index in range(2000)]
    assert {plan.interface for plan in plans} == set(INTERFACES)
    assert {plan.end for plan in plans} == {"close", "abort", "leave"}
    assert {plan.fault.name for plan in plans if plan.fault} == set(FAULT_NAMES)
    share = Counter(plan.fault is None for plan in plans)[True] / len(plans)
    assert 0.5 < share < 0.75


def test_every_fault_is_one_of_the_parrots() -> None:
    assert set(FAULT_NAMES) <= set(FAULTS)
    faults = Faults()
    for index in range(2000):
        if fault := make_plan(2, index).fault:
            faults.set(fault.name, fault.value)


def test_whoever_is_kind_does_no_harm() -> None:
    for index in range(200):
        plan = make_plan(1, index, faults=False)
        assert plan.fault is None
        assert plan.end == "close"
        assert set(plan.steps) <= {"say", "answer", "done", "cancel"}
