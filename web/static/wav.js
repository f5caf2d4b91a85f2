const HEADER_BYTES = 44;

/**
 * A 16-bit PCM WAV.
 * @param {Int16Array[]} channels of equal length
 * @param {number} rateHz
 * @returns {Uint8Array}
 */
export function writeWav(channels, rateHz) {
  const frames = channels[0].length;
  if (channels.some(({ length }) => length !== frames)) throw new RangeError("the channels must be equally long");
  const frameBytes = 2 * channels.length;
  const bytes = new Uint8Array(HEADER_BYTES + frames * frameBytes);
  const header = new DataView(bytes.buffer);
  const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, bytes.length - 8, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, channels.length, true);
  header.setUint32(24, rateHz, true);
  header.setUint32(28, rateHz * frameBytes, true);
  header.setUint16(32, frameBytes, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, frames * frameBytes, true);
  const samples = new Int16Array(bytes.buffer, HEADER_BYTES);
  channels.forEach((channel, number) => {
    for (let i = 0; i < frames; i += 1) samples[i * channels.length + number] = channel[i];
  });
  return bytes;
}
