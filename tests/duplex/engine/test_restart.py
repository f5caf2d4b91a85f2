import pytest

from duplex.engine.restart import RestartLimits, RestartPolicy


def test_the_wait_doubles_up_to_its_limit() -> None:
    policy = RestartPolicy(RestartLimits(max_per_hour=None))
    delays = [policy.record_failure(now_s) for now_s in range(9)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize(("ready_for_s", "delay_s"), [(60.0, 0.5), (59.9, 2.0)])
def test_a_minute_of_health_makes_the_wait_small_again(ready_for_s: float, delay_s: float) -> None:
    policy = RestartPolicy()
    policy.record_failure(0.0)
    policy.record_failure(1.0)
    policy.record_ready(10.0)
    assert policy.record_failure(10.0 + ready_for_s) == delay_s


def test_time_spent_loading_is_not_health() -> None:
    policy = RestartPolicy()
    policy.record_ready(0.0)
    assert policy.record_failure(100.0) == 0.5
    assert policy.record_failure(300.0) == 1.0


def test_it_gives_up_when_the_budget_of_the_hour_is_spent() -> None:
    policy = RestartPolicy(RestartLimits(max_per_hour=3))
    assert [policy.record_failure(now_s) for now_s in (0.0, 10.0, 20.0, 30.0)] == [0.5, 1.0, 2.0, None]


def test_restarts_of_the_hour_before_do_not_count() -> None:
    policy = RestartPolicy(RestartLimits(max_per_hour=2))
    policy.record_failure(0.0)
    policy.record_failure(1800.0)
    assert policy.record_failure(3599.0) is None
    assert policy.record_failure(3600.0) is not None
    assert policy.record_failure(3601.0) is None


def test_no_limit_never_gives_up() -> None:
    policy = RestartPolicy(RestartLimits(max_per_hour=None))
    assert all(policy.record_failure(float(now_s)) is not None for now_s in range(500))
