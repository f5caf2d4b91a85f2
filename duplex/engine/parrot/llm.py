"""The text model: a thread that evaluates prefills, and the decode that says groups of text."""

import threading

from duplex.engine.parrot.mind import Mind, Step
from duplex.engine.parrot.octx import LISTENING, TURN_OVER, LlmOut, Octx
from duplex.engine.parrot.voice import Group

__all__ = ["Llm"]


class Llm:
    """Evaluates and decodes for one context."""

    def __init__(self, octx: Octx, mind: Mind) -> None:
        self._octx = octx
        self._mind = mind
        self._mind_lock = threading.Lock()
        self._thread = threading.Thread(target=self._evaluate, name="llm", daemon=True)

    def start(self) -> None:
        """Start evaluating, once."""
        if not self._thread.is_alive():
            self._octx.body.log.engine("create llm thread success")
            self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():
            self._thread.join()

    def note_break(self) -> None:
        """See `Mind.note_break`."""
        with self._mind_lock:
            self._mind.note_break()

    def forget(self) -> None:
        """See `Mind.forget`."""
        with self._mind_lock:
            self._mind.forget()

    def _evaluate(self) -> None:
        octx = self._octx
        octx.body.log.engine("LLM thread started")
        while True:
            with octx.board:
                if not octx.wait(lambda: bool(octx.llm_queue) or octx.need_speak):
                    return
                items = list(octx.llm_queue)
            for samples in items:
                octx.pause_ms(octx.body.speeds.evaluate_ms)
                with self._mind_lock:
                    self._mind.hear(samples)
            with octx.board:
                for _ in items:
                    octx.llm_queue.popleft()
                if not octx.llm_queue and octx.need_speak:
                    octx.need_speak = False
                    octx.body.prefill_done = True
                octx.board.notify_all()

    def decode(self) -> None:
        """One decode, in the calling thread. Returns when the text is over and its last group is handed to TTS."""
        octx = self._octx
        if octx.duplex_mode:
            octx.clear_break()
        octx.open_text()
        self._await_prefill()
        if octx.fields.use_tts:
            with octx.board:
                octx.speak_done = False
        faults = octx.body.faults
        kill = faults.hit("die_in_decode")
        if not octx.duplex_mode:
            self._simplex(kill=kill)
        elif not faults.on("no_answer"):
            self._duplex(kill=kill)
        octx.close_text()

    def _await_prefill(self) -> None:
        octx = self._octx
        faults = octx.body.faults
        if faults.hit("hang_decode"):
            octx.body.abandoned.wait()
            return
        if faults.hit("stale_prefill"):
            return
        with octx.board:
            if self._thread.is_alive():
                octx.body.prefill_done = False
            octx.need_speak = True
            octx.board.notify_all()
            # Without the thread (no prompt was built yet) the second decode of the process waits here for ever.
            while not octx.body.prefill_done and not octx.body.abandoned.is_set():
                octx.board.wait(0.5)
            octx.body.prefill_done = False

    def _duplex(self, *, kill: bool) -> None:
        octx = self._octx
        with self._mind_lock:
            step = self._mind.duplex_step()
        if step.listens:
            octx.push_text(LISTENING)
        if step.group is None:
            self._die_if(kill)
            self._hand_over(LlmOut(b"", 0, (), llm_finish=True, end_of_turn=False))
        else:
            self._say(step.group, kill=kill)
            self._hand_over(_duplex_out(step.group, step))
        if not step.listens:
            octx.push_text(TURN_OVER)

    def _simplex(self, *, kill: bool) -> None:
        octx = self._octx
        words_left = octx.fields.n_predict
        mute = octx.break_event or octx.body.faults.on("no_answer")
        for group in [] if mute else self._answer():
            self._say(group, kill=kill)
            words_left -= group.words
            capped = words_left <= 0 or (group.last and octx.body.faults.on("n_predict_end"))
            finish = group.last and not capped
            self._hand_over(LlmOut(group.text, group.words, group.tokens, llm_finish=finish, end_of_turn=finish))
            if words_left <= 0:
                break
        octx.push_text(TURN_OVER)
        octx.body.log.flush()

    def _answer(self) -> list[Group]:
        with self._mind_lock:
            return self._mind.simplex_answer()

    def _say(self, group: Group, *, kill: bool) -> None:
        octx = self._octx
        octx.pause_ms(group.words * octx.body.faults.number("slow_llm", octx.body.speeds.llm_ms))
        octx.fill_context(group.words + 1)
        octx.push_text(group.text.decode("utf-8", "replace"))
        self._die_if(kill)

    def _die_if(self, kill: bool) -> None:
        octx = self._octx
        if kill:
            with octx.board:
                octx.board.wait_for(lambda: not octx.text_queue, timeout=1.0)
            octx.body.die()

    def _hand_over(self, out: LlmOut) -> None:
        if self._octx.fields.use_tts:
            self._octx.push_llm_out(out)


def _duplex_out(group: Group, step: Step) -> LlmOut:
    return LlmOut(group.text, group.words, group.tokens, llm_finish=True, end_of_turn=step.ends_turn)
