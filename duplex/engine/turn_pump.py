"""The pump: carries a response from the engine's files and fragments to the mailbox, and knows when it is over."""

import asyncio
import logging

from duplex.clock import Clock
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, EngineAudio, EngineIdle, EngineListen, EngineText, Mode
from duplex.engine.clean_text import FragmentMender
from duplex.engine.limits import EngineLimits
from duplex.engine.mailbox import EventMailbox
from duplex.engine.mute import AnswerSigns, find_fault
from duplex.engine.response_end import ResponseEnd, Verdict
from duplex.engine.spool import DONE_FLAG, NextWav, Spool
from duplex.engine.spool_files import SpoolFiles
from duplex.engine.vocoder import Vocoder
from duplex.engine.watch import DirectoryWatch, SpoolWatcher
from duplex.errors import EngineMute, EngineRefused, EngineStalled
from duplex.wav import IncompleteWav, WavAudio, read_wav

__all__ = ["TurnPump"]

_log = logging.getLogger(__name__)

_LEAVES_WITHIN_S = 0.001


class TurnPump:
    """One spool directory: a simplex round's, or duplex's for a whole conversation.

    `run` lives while a turn is active and ends when it is over; in duplex it is run again for the next turn. The
    decode's reader calls the `receive_…` methods beside it, on the same loop.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        files: SpoolFiles,
        spool: Spool,
        vocoder: Vocoder,
        mailbox: EventMailbox,
        watcher: SpoolWatcher,
        clock: Clock,
        limits: EngineLimits,
    ) -> None:
        self._mode = mode
        self._files = files
        self._spool = spool
        self._vocoder = vocoder
        self._ledger, self._pace, self._trim = vocoder.ledger, vocoder.pace, vocoder.trim
        self._mailbox = mailbox
        self._watcher = watcher
        self._clock = clock
        self._limits = limits
        self._end = ResponseEnd(mode, stall_s=limits.stall_s)
        self._mender = FragmentMender()
        self._held_at = 0.0
        self._watch: DirectoryWatch | None = None
        self._is_active = False
        self._is_abandoned = False
        self._blocked_at: float | None = None
        self._partial_bytes = 0
        self._text_sign = 0
        self._groups = 0
        self._made_groups: set[int] = set()
        self._asked = 0
        self._sounds_at = 0.0
        self._has_words = self._has_tokens = self._has_sound = False
        self._spent_groups: list[int] = []
        self._spent_wavs: list[str] = []

    @property
    def is_active(self) -> bool:
        """Whether a turn is on: from `start_decode` until all of it has been carried."""
        return self._is_active

    @property
    def is_turn_open(self) -> bool:
        """Whether the model has begun something that has not ended yet."""
        return self._end.is_turn_open

    @property
    def is_draining(self) -> bool:
        """Whether what comes is thrown away."""
        return self._end.is_draining

    @property
    def is_flagged(self) -> bool:
        """Whether the last response ended with the engine's flag."""
        return self._end.is_flagged

    def start_decode(self, *, is_again: bool = False) -> None:
        """A decode is about to be asked for, `is_again` when nothing came of the same question before. If no turn is
        active, `run` must follow."""
        self._is_active = True
        self._asked += 1 + is_again
        self._end.start_decode(self._clock.now())

    def receive_byte(self) -> None:
        """The decode has sent something."""
        self._end.receive_byte(self._clock.now())

    def receive_fragment(self, fragment: str) -> None:
        """The decode has sent text, perhaps with cut characters."""
        now = self._clock.now()
        self._end.receive_text(now)
        if self._end.is_draining:
            return
        self._asked = 0
        self._receive_words(fragment, now)
        if not self._mender.is_waiting:
            self._held_at = now
        self._put_text(self._mender.push(fragment))

    def end_decode(self, *, listens: bool, is_answer: bool = True) -> None:
        """The decode was read to its end. `is_answer`: the engine has said so much as that it is over."""
        if is_answer and self._mode is Mode.DUPLEX:
            self._asked = 0
        self._end.end_decode(self._clock.now(), listens=listens, is_answer=is_answer)
        if listens and not self._end.is_draining:
            self._mailbox.put(EngineListen())
        self._nudge()

    def drain(self) -> None:
        """Throw away what comes from now on. Called again, it restarts the quiet time."""
        self._end.drain(self._clock.now())
        self._mender.flush()
        self._forget_signs()
        self._nudge()

    def abandon(self) -> None:
        """End without a word: the decode never took place."""
        self._is_abandoned = True
        self._nudge()

    def sweep(self) -> None:
        """Throw away what lies there although no turn is active: it is older than the last `EngineIdle`."""
        self._end.drain(self._clock.now())
        before = self._spool.expected, self._groups
        self._scan()
        self._remove_spent()
        self._files.remove(DONE_FLAG)
        self._end.close()
        self._forget_signs()
        self._vocoder.end_break()
        if (self._spool.expected, self._groups) != before:
            self._vocoder.cut_here()

    async def run(self) -> None:
        """Carry until the turn is over.

        Raises EngineStalled when the engine hangs, EngineMute when it lives and answers no more, RuntimeError when
        nobody reads the mailbox.
        """
        self._watch = self._watcher.watch(self._files.wav_dir)
        try:
            while not self._is_abandoned and not self._is_over():
                if self._spent_wavs:
                    # What was read is on its way to somebody; the files can wait until it has left.
                    await asyncio.sleep(_LEAVES_WITHIN_S)
                    continue
                if self._spent_groups:
                    await self._trim_groups()
                await self._watch.wait()
        finally:
            self._remove_spent()
            self._is_active = False
            self._watch.close()
            self._watch = None
        if self._text_sign:
            await asyncio.to_thread(self._files.trim_debug)
            self._text_sign = 0
            self._made_groups.clear()
            self._mender.restart()

    def _is_over(self) -> bool:
        self._scan()
        is_rendering = self._ledger.is_due
        quiet_s = self._pace.quiet_s(self._limits.quiet_s, is_due=is_rendering)
        is_audio_due = is_rendering or self._is_speech_due()
        if self._is_still_silent() or self._is_speaking_on():
            quiet_s = max(quiet_s, self._limits.first_sound_s)
        verdict = self._end.verdict(self._clock.now(), is_audio_due=is_audio_due, quiet_s=quiet_s)
        self._check_answer(is_over=verdict is Verdict.OVER, is_audio_due=is_audio_due)
        match verdict:
            case Verdict.WAIT:
                return False
            case Verdict.STALLED:
                raise EngineStalled(f"the engine gave no sign of life for {self._limits.stall_s:g} s")
            case Verdict.OVER:
                self._finish_turn()
                return True

    def _check_answer(self, *, is_over: bool, is_audio_due: bool) -> None:
        """Raises EngineMute when the engine lives and is of no use."""
        if self._end.is_draining:
            return
        patience_s = self._pace.quiet_s(self._limits.first_sound_s, is_due=is_audio_due)
        fault = find_fault(
            AnswerSigns(
                has_words=self._has_words,
                has_tokens=self._has_tokens,
                has_sound=self._has_sound,
                is_flagged=self._end.is_flagged,
                is_sound_due=is_audio_due,
                mute_s=self._clock.now() - self._sounds_at,
                patience_s=min(patience_s, self._limits.stall_s),
                asked=self._asked if is_over or self._is_step_over() else 0,
            )
        )
        if fault is not None:
            raise EngineMute(fault)

    def _is_step_over(self) -> bool:
        return self._mode is Mode.DUPLEX and not self._end.is_decoding

    def _receive_words(self, fragment: str, now: float) -> None:
        if not (self._has_words or fragment.isspace()):
            self._has_words, self._sounds_at = True, now

    def _receive_sign(self, *, is_audio: bool = False) -> None:
        """Something on the way from words to sound was made."""
        self._sounds_at = self._clock.now()
        self._end.receive_file(self._sounds_at, is_audio=is_audio)

    def _forget_signs(self) -> None:
        self._has_words = self._has_tokens = self._has_sound = False

    def _finish_turn(self) -> None:
        self._look_at_text()
        if self._end.is_turn_open and not self._end.is_draining:
            self._flush_text()
            self._mailbox.put(EngineIdle())
        self._end.close()
        self._forget_signs()

    def _is_speech_due(self) -> bool:
        """Whether a group's text is on disk and its audio tokens are not. Only simplex keeps groups apart."""
        return self._mode is Mode.SIMPLEX and self._text_sign > self._groups

    def _is_speaking_on(self) -> bool:
        """Whether TTS is in the middle of a group of what was broken off, which a break does not end in duplex: what it
        makes there would be heard in the next answer."""
        if self._mode is Mode.SIMPLEX or not self._end.is_draining:
            return False
        begun = self._files.begun_group()
        return begun is not None and begun not in self._made_groups

    def _is_still_silent(self) -> bool:
        """Whether an answer was written and nothing of it was heard yet. A broken one may stay silent, and so may what
        a duplex vocoder keeps for the next window."""
        is_kept = self._mode is Mode.DUPLEX and self._has_tokens
        return self._has_words and not (self._has_sound or is_kept or self._end.is_draining)

    def _scan(self) -> None:
        self._remove_spent()
        names = self._files.names()
        if self._spool.has_gap(names):
            names |= self._files.names()
        self._account_tokens(names)
        if self._mender.is_waiting:
            self._look_at_text()
        self._take_files(names)
        # What was taken leaves first; the next look comes at once.
        if not self._spent_wavs:
            self._look_at_text()

    def _take_files(self, names: set[str]) -> None:
        flag = self._files.flag() if DONE_FLAG in names else None
        while True:
            if flag is not None and self._spool.is_done(flag, names):
                self._take_flag()
                flag = None
            wav = self._spool.next_wav(names, flag=flag)
            if wav is None or self._is_blocked() or not self._take_wav(wav):
                return
            names.discard(wav.name)

    def _take_wav(self, wav: NextWav) -> bool:
        audio, made_s = self._read(wav)
        if audio is None:
            return False
        self._partial_bytes = 0
        self._spool.consume(wav.number)
        self._has_sound = True
        now = self._clock.now()
        self._pace.receive_wav(now)
        if self._mode is Mode.SIMPLEX:
            self._ledger.receive_early_wav()
        else:
            self._ledger.receive_wav(wav.number)
        self._spent_wavs.append(wav.name)
        self._receive_sign(is_audio=True)
        pcm = b"" if self._end.is_draining else self._trim.take(audio.pcm, self._ledger.stale_samples)
        if pcm:
            self._mailbox.put(EngineAudio(pcm, wav.name, made_s))
        return True

    def _remove_spent(self) -> None:
        """Before the next look, so that whatever is there then is new."""
        spent, self._spent_wavs = self._spent_wavs, []
        for name in spent:
            self._files.remove(name)

    def _read(self, wav: NextWav) -> tuple[WavAudio | None, float]:
        """What the file holds, None while it is not whole, and when it was written."""
        content, made_s = self._files.read_dated(wav.name)
        try:
            audio = read_wav(content, torn=wav.closed)
        except IncompleteWav:
            if wav.closed:
                _log.warning("the engine left %s without a header; it is skipped", wav.name)
                return WavAudio(b"", ENGINE_OUTPUT_RATE_HZ, 1), made_s
            if len(content) != self._partial_bytes:
                self._partial_bytes = len(content)
                self._receive_sign()
            return None, made_s
        if audio.rate_hz != ENGINE_OUTPUT_RATE_HZ or audio.channels != 1:
            raise EngineRefused(f"the engine's audio has {audio.rate_hz} Hz and {audio.channels} channels")
        return audio, made_s

    def _take_flag(self) -> None:
        self._files.remove(DONE_FLAG)
        self._vocoder.end_turn()
        was_open = self._end.is_turn_open
        self._end.receive_flag()
        self._forget_signs()
        if self._mode is Mode.DUPLEX and was_open and not self._end.is_draining:
            self._flush_text()
            self._mailbox.put(EngineIdle())

    def _account_tokens(self, names: set[str]) -> None:
        groups = self._files.take_token_groups(names)
        if groups:
            self._made_groups = {number for number, _ in groups}
        for number, tokens in groups:
            self._ledger.receive_tokens(tokens)
            self._groups += 1
            self._has_tokens = True
            self._spent_groups.append(number)
            self._receive_sign()
        self._pace.receive_due(self._clock.now(), is_due=self._ledger.is_due)

    def _look_at_text(self) -> None:
        sign = self._files.text_sign()
        if sign != self._text_sign:
            self._text_sign = sign
            self._end.receive_file(self._clock.now())
        if not self._mender.is_waiting:
            return
        self._put_text(self._mender.mend(self._files.group_texts()))
        if self._mender.is_waiting and self._clock.now() - self._held_at >= self._limits.text_hold_s:
            self._put_text(self._mender.flush())

    def _flush_text(self) -> None:
        if self._mender.is_waiting:
            self._put_text(self._mender.mend(self._files.group_texts()))
            self._put_text(self._mender.flush())

    def _put_text(self, text: str) -> None:
        if text and not self._end.is_draining:
            self._mailbox.put(EngineText(text))

    def _is_blocked(self) -> bool:
        if self._mailbox.has_room or self._end.is_draining:
            self._blocked_at = None
            return False
        now = self._clock.now()
        if self._blocked_at is None:
            self._blocked_at = now
        # The engine is not to blame for files that only we leave unread.
        self._receive_sign()
        if now - self._blocked_at >= self._limits.stall_s:
            raise RuntimeError(f"nobody has read the engine's events for {self._limits.stall_s:g} s")
        return True

    async def _trim_groups(self) -> None:
        spent, self._spent_groups = self._spent_groups, []
        for number in spent:
            await asyncio.to_thread(self._files.trim_group_debug, number)

    def _nudge(self) -> None:
        if self._watch is not None:
            self._watch.nudge()
