/**
 * Plays a node's sound through a call of the browser with itself. Some versions of Chromium take no notice of what Web
 * Audio plays when they cancel echo, but all of them know what a call plays. It costs about 100 ms, so it is used only
 * where the echo test found it to be necessary.
 */
export class Loopback {
  #from = new RTCPeerConnection();
  #to = new RTCPeerConnection();
  #element = new Audio();

  /**
   * @param {AudioNode} node what is to be heard
   * @param {string | null} deviceId the loudspeaker; null for the system's
   */
  async open(node, deviceId) {
    const tap = node.context.createMediaStreamDestination();
    node.connect(tap);
    this.#from.onicecandidate = ({ candidate }) => void this.#to.addIceCandidate(candidate);
    this.#to.onicecandidate = ({ candidate }) => void this.#from.addIceCandidate(candidate);
    const arrived = new Promise((resolve) => {
      this.#to.ontrack = ({ streams: [stream] }) => resolve(stream);
    });
    for (const track of tap.stream.getTracks()) this.#from.addTrack(track, tap.stream);
    await this.#from.setLocalDescription(await this.#from.createOffer());
    await this.#to.setRemoteDescription(this.#from.localDescription);
    const answer = await this.#to.createAnswer();
    await this.#to.setLocalDescription({ type: answer.type, sdp: clearSpeech(answer.sdp) });
    await this.#from.setRemoteDescription({ type: answer.type, sdp: clearSpeech(answer.sdp) });
    this.#element.srcObject = await arrived;
    if (deviceId && "setSinkId" in this.#element) await this.#element.setSinkId(deviceId);
    await this.#element.play();
  }

  /** Hangs up. */
  close() {
    this.#element.srcObject = null;
    this.#from.close();
    this.#to.close();
  }
}

/** @param {string} sdp @returns {string} the same, asking Opus for more than a telephone's quality */
export function clearSpeech(sdp) {
  return sdp.replace(/a=fmtp:(\d+) (.*useinbandfec=1)/g, "a=fmtp:$1 $2;maxaveragebitrate=96000");
}
