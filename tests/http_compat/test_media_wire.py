"""The words between the server and its decoders."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_compat.media_wire import (
    ANSWER_HEADER_BYTES,
    READY,
    Outcome,
    Task,
    pack_answer,
    pack_request,
    read_request,
    unpack_answer_header,
)


@given(st.sampled_from(Task), st.lists(st.binary(max_size=100), max_size=4))
def test_requests_arrive_as_they_were_sent_and_cut_short_not_at_all(task: Task, parts: list[bytes]) -> None:
    sent = b"".join(pack_request(task, parts))
    both = BytesIO(sent * 2)
    assert [read_request(both.read) for _ in range(3)] == [(task, parts), (task, parts), None]
    for length in range(len(sent)):
        assert read_request(BytesIO(sent[:length]).read) is None


@given(st.sampled_from(Outcome), st.binary(max_size=100))
def test_answers_arrive_as_they_were_sent(outcome: Outcome, content: bytes) -> None:
    answer = pack_answer(outcome, content)
    assert unpack_answer_header(answer[:ANSWER_HEADER_BYTES]) == (outcome, len(content))
    assert answer[ANSWER_HEADER_BYTES:] == content


def test_an_unknown_outcome_is_no_answer() -> None:
    with pytest.raises(ValueError, match="99"):
        unpack_answer_header(b"\x63" + READY[1:])
