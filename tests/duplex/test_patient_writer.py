import threading

from duplex.patient_writer import WAITING_TEXTS, PatientWriter


def test_texts_are_written_in_their_order_and_closing_leaves_no_thread() -> None:
    written: list[str] = []
    failures: list[Exception] = []
    writer = PatientWriter(written.append, name="w", close_within_s=20.0, on_failure=failures.append)
    for number in range(100):
        writer.put(str(number))
    writer.close()
    assert written == [str(number) for number in range(100)]
    assert not failures
    assert not writer.is_running


def test_what_finds_no_room_is_dropped_and_nobody_waits() -> None:
    begun, go_on = threading.Event(), threading.Event()
    written: list[str] = []

    def write(text: str) -> None:
        begun.set()
        go_on.wait()
        written.append(text)

    writer = PatientWriter(write, name="w", close_within_s=20.0, on_failure=lambda _: None)
    writer.put("first")
    begun.wait()
    for number in range(2 * WAITING_TEXTS):
        writer.put(str(number))
    assert writer.waiting == WAITING_TEXTS
    go_on.set()
    writer.close()
    assert written == ["first", *(str(number) for number in range(WAITING_TEXTS))]


def test_after_a_failure_nothing_more_is_written_and_it_is_told_once() -> None:
    tried: list[str] = []
    failures: list[Exception] = []

    def write(text: str) -> None:
        tried.append(text)
        raise BrokenPipeError(text)

    writer = PatientWriter(write, name="w", close_within_s=20.0, on_failure=failures.append)
    for text in ("a", "b", "c"):
        writer.put(text)
    writer.close()
    assert tried == ["a"]
    assert [str(failure) for failure in failures] == ["a"]
    assert not writer.is_running
