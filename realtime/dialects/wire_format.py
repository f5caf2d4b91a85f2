"""How sound is written on the wire: 16-bit PCM at a rate, or G.711."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duplex.audio import PcmFormat, whole_samples
from duplex.errors import InvalidAudio, InvalidEvent
from duplex.g711 import G711_RATE_HZ, Law, compress, expand
from realtime.session_shape import AudioFormat

__all__ = ["WireFormat", "wire_format"]

_LAWS = {"audio/pcmu": Law.MU, "audio/pcma": Law.A}


@dataclass(frozen=True, slots=True)
class WireFormat:
    """`law` is None for PCM."""

    rate_hz: int
    law: Law | None = None

    @property
    def described(self) -> dict[str, Any]:
        """In the session's words."""
        if self.law is None:
            return {"type": "audio/pcm", "rate": self.rate_hz}
        return {"type": f"audio/{self.law}"}

    def decode(self, sound: bytes, param: str = "audio") -> bytes:
        """PCM of it. Raises `InvalidAudio` when a sample is cut in half."""
        if self.law is not None:
            return expand(sound, self.law)
        whole_samples(sound, param)
        return sound

    def encode(self, pcm: bytes) -> bytes:
        """Whole samples of PCM as they go out."""
        return pcm if self.law is None else compress(pcm, self.law)


def wire_format(shape: AudioFormat | None, default: Mapping[str, Any], param: str) -> WireFormat:
    """What the client asks for. Raises `InvalidAudio` or `InvalidEvent` naming the field below `param`."""
    shape = AudioFormat.model_validate(default) if shape is None else shape
    law = _LAWS.get(shape.type)
    if law is not None:
        if shape.rate not in {None, G711_RATE_HZ}:
            raise InvalidEvent(f"The rate of {shape.type} is {G711_RATE_HZ} Hz.", param=f"{param}.rate")
        return WireFormat(G711_RATE_HZ, law)
    rate_hz = default.get("rate", 24_000) if shape.rate is None else shape.rate
    try:
        return WireFormat(PcmFormat(rate_hz).rate_hz)
    except InvalidAudio as error:
        raise InvalidAudio(str(error), param=f"{param}.rate") from None
