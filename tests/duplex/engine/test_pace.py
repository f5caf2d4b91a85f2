from duplex.engine.pace import RenderPace


def test_knows_nothing_at_first() -> None:
    pace = RenderPace()
    assert pace.quiet_s(2.0, is_due=False) == 2.0
    assert pace.quiet_s(2.0, is_due=True) == 8.0


def test_grows_with_the_slowest_of_the_last_windows() -> None:
    pace = RenderPace()
    pace.receive_due(10.0, is_due=True)
    pace.receive_due(11.0, is_due=True)
    pace.receive_wav(13.0)
    pace.receive_wav(13.5)
    assert pace.quiet_s(2.0, is_due=False) == 6.0
    for count in range(6):
        pace.receive_wav(14.0 + count / 10)
    assert pace.quiet_s(2.0, is_due=True) == 2.0


def test_idle_time_is_no_rendering_time() -> None:
    pace = RenderPace()
    pace.receive_due(0.0, is_due=True)
    pace.receive_wav(0.1)
    pace.receive_due(0.1, is_due=False)
    pace.receive_due(100.0, is_due=True)
    pace.receive_wav(100.2)
    assert pace.quiet_s(0.0, is_due=False) < 0.5


def test_a_window_nobody_expected_says_nothing() -> None:
    pace = RenderPace()
    pace.receive_wav(50.0)
    assert pace.quiet_s(1.0, is_due=False) == 1.0
