"""The detectors compared on the labelled set, without a server: frames into the gate, verdicts out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.figures import percentile
from bench.overlap.sounds import SPEECH_DBFS, Clip, Kind, babble, clips, steady_noise
from bench.rooms import as_pcm
from bench.speech import RATE_HZ, Samples
from duplex.detectors import DetectorKind, detector_maker
from duplex.evidence import VAD_FRAME_BYTES, VAD_FRAME_SAMPLES, SpeechDetector
from duplex.vad import GateMoment, VadGate, VadSettings

__all__ = ["DETECTOR_COLUMNS", "Judged", "compare"]

DETECTOR_COLUMNS = (
    "detector",
    "hold p50/p95",
    "cut p50/p95",
    "missed",
    '"mm-hm" cut',
    "coughs held/cut",
    "slams held/cut",
    "keys held/cut",
    "60 ms held/cut",
    "babble 10 dB: holds, cuts/min",
    "noise 10 dB: holds, cuts/min",
    "µs a frame",
)
_LEAD_S = 9.0
_TAIL_S = 1.5
_BED_S = 20.0
_BABBLE_S = 60.0
_NOISE_S = 600.0


@dataclass(slots=True)
class Judged:
    """When each of a kind was held and cut, in seconds after its onset."""

    count: int = 0
    held_s: list[float] = field(default_factory=list)
    cut_s: list[float] = field(default_factory=list)


def compare() -> Iterator[tuple[str, ...]]:
    """A line for each detector that is installed, from clean sound to 10 dB over steady noise."""
    beds = [None, *(steady_noise("pink", _BED_S, dbfs=SPEECH_DBFS - snr_db) for snr_db in (20.0, 10.0))]
    said = {kind: clips(kind) for kind in Kind}
    for kind in DetectorKind:
        try:
            make = detector_maker(kind)
        except ImportError:
            continue
        judged = {what: Judged() for what in Kind}
        began_s, frames = time.process_time(), 0
        for what, those in said.items():
            for number, (clip, bed) in enumerate((clip, bed) for clip in those for bed in beds):
                frames += _judge(make(), clip, bed, number, judged[what])
        cost_us = 1e6 * (time.process_time() - began_s) / frames
        loud = SPEECH_DBFS - 10.0
        crowd, noise = babble(_BABBLE_S, dbfs=loud), steady_noise("pink", _NOISE_S, dbfs=loud)
        yield _line(kind, judged, [_for_nothing(make(), sound) for sound in (crowd, noise)], cost_us)


def _line(
    kind: DetectorKind, judged: dict[Kind, Judged], for_nothing: Sequence[str], cost_us: float
) -> tuple[str, ...]:
    said = judged[Kind.INTERRUPTION]
    return (
        str(kind),
        _pair(said.held_s),
        _pair(said.cut_s),
        f"{said.count - len(said.cut_s)} of {said.count}",
        f"{len(judged[Kind.BACKCHANNEL].cut_s)} of {judged[Kind.BACKCHANNEL].count}",
        *(_shares(judged[what]) for what in (Kind.COUGH, Kind.SLAM, Kind.CLICKS, Kind.TRANSIENT)),
        *for_nothing,
        f"{cost_us:.0f}",
    )


def _for_nothing(detector: SpeechDetector, sound: Samples) -> str:
    """Holds and cuts a minute, after the room was learnt."""
    moments = [moment for moment, at in _verdicts(detector, sound) if at > _LEAD_S * RATE_HZ]
    minutes = (len(sound) / RATE_HZ - _LEAD_S) / 60
    return ", ".join(f"{moments.count(each) / minutes:.1f}" for each in (GateMoment.LIKELY, GateMoment.CONFIRM))


def _judge(detector: SpeechDetector, clip: Clip, bed: Samples | None, number: int, judged: Judged) -> int:
    """One clip over one bed, its onset anywhere in a frame. Returns how many frames that took."""
    start = round(_LEAD_S * RATE_HZ) + 37 * number % VAD_FRAME_SAMPLES
    sound = np.zeros(start + len(clip.samples) + round(_TAIL_S * RATE_HZ))
    sound[start : start + len(clip.samples)] = clip.samples
    if bed is not None:
        sound += np.resize(bed, len(sound))
    first: dict[GateMoment, float] = {}
    for moment, heard_at in _verdicts(detector, sound):
        if heard_at > start + clip.onset:
            first.setdefault(moment, (heard_at - start - clip.onset) / RATE_HZ)
    judged.count += 1
    judged.held_s += [first[GateMoment.LIKELY]] if GateMoment.LIKELY in first else []
    judged.cut_s += [first[GateMoment.CONFIRM]] if GateMoment.CONFIRM in first else []
    return len(sound) // VAD_FRAME_SAMPLES


def _verdicts(detector: SpeechDetector, sound: Samples) -> Iterator[tuple[GateMoment, int]]:
    """Verdicts with the sample at which they came; after a cut the evidence begins anew, as with a new answer."""
    gate = VadGate(detector, VadSettings())
    pcm = as_pcm(sound)
    for number in range(len(pcm) // VAD_FRAME_BYTES):
        frame = pcm[number * VAD_FRAME_BYTES : (number + 1) * VAD_FRAME_BYTES]
        for event in gate.push(frame):
            yield event.moment, (number + 1) * VAD_FRAME_SAMPLES
            if event.moment is GateMoment.CONFIRM:
                gate.rearm()


def _pair(values_s: Sequence[float]) -> str:
    if not values_s:
        return "-"
    return " / ".join(f"{1000 * percentile(values_s, share):.0f}" for share in (0.5, 0.95))


def _shares(judged: Judged) -> str:
    return f"{len(judged.held_s)} / {len(judged.cut_s)} of {judged.count}"
