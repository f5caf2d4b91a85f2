import { cellOf, fitted, picturePlan } from "./picture-plan.js";

/** The camera: shows itself in a `<video>` and hands out its pictures as JPEGs. */
export class Camera {
  #video;
  #canvas = document.createElement("canvas");
  #stream = null;
  #timer = null;

  /** @param {HTMLVideoElement} video where the user sees what the camera sees */
  constructor(video) {
    this.#video = video;
  }

  get isOn() {
    return this.#stream !== null;
  }

  /**
   * Asks for the camera and starts it. Throws what `getUserMedia` throws.
   * @param {{refresh: boolean, hd: boolean}} wishes
   * @param {{onPicture: (jpeg: string) => void, onLost: () => void}} handlers `jpeg` is base64
   */
  async open(wishes, { onPicture, onLost }) {
    const plan = picturePlan(wishes);
    const size = { width: { ideal: wishes.hd ? 1280 : 640 }, height: { ideal: wishes.hd ? 720 : 480 } };
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", ...size } });
    for (const track of this.#stream.getVideoTracks()) track.onended = onLost;
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    let taken = 0;
    this.#timer = setInterval(() => {
      this.#draw(plan, taken % plan.cells);
      taken += 1;
      if (taken % plan.cells === 0) onPicture(this.#jpeg(plan));
    }, plan.everyMs);
  }

  /** Lets go of the camera. */
  close() {
    clearInterval(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#video.srcObject = null;
    this.#stream = null;
  }

  #draw(plan, number) {
    const source = { width: this.#video.videoWidth, height: this.#video.videoHeight };
    const { width, height } = fitted(source, plan.side);
    if (number === 0) {
      const last = cellOf(plan.cells - 1, plan.cells);
      this.#canvas.width = width * (last.column + 1);
      this.#canvas.height = height * (last.row + 1);
    }
    const { column, row } = cellOf(number, plan.cells);
    this.#canvas.getContext("2d").drawImage(this.#video, column * width, row * height, width, height);
  }

  #jpeg({ quality }) {
    return this.#canvas.toDataURL("image/jpeg", quality).split(",", 2)[1];
  }
}
