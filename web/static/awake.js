/**
 * Keeps a phone from ending a call by itself: the screen stays on, and audio that the system stopped, for a telephone
 * call or because the page was in the background, goes on when it can.
 */
export class Awake {
  #lock = null;
  #contexts = [];
  #onAsleep;

  /** @param {(asleep: boolean) => void} onAsleep the sound stands still, or goes on again */
  constructor(onAsleep) {
    this.#onAsleep = onAsleep;
  }

  /** @param {AudioContext[]} contexts all that play or record in this call */
  begin(contexts) {
    this.#contexts = contexts;
    for (const context of contexts) context.addEventListener("statechange", this.#look);
    document.addEventListener("visibilitychange", this.#look);
    // Some systems let sound go on only in answer to a touch.
    document.addEventListener("pointerdown", this.#look);
    this.#look();
  }

  /** The call is over. */
  end() {
    for (const context of this.#contexts) context.removeEventListener("statechange", this.#look);
    document.removeEventListener("visibilitychange", this.#look);
    document.removeEventListener("pointerdown", this.#look);
    this.#contexts = [];
    void this.#lock?.release();
    this.#lock = null;
  }

  #look = () => {
    if (document.visibilityState === "visible") void this.#keepScreenOn();
    const asleep = this.#contexts.filter(({ state }) => state === "suspended" || state === "interrupted");
    for (const context of asleep) context.resume().catch(() => {});
    this.#onAsleep(asleep.length > 0);
  };

  async #keepScreenOn() {
    if (this.#lock && !this.#lock.released) return;
    try {
      this.#lock = (await navigator.wakeLock?.request("screen")) ?? null;
    } catch {
      // A battery that runs low is reason enough to refuse it.
      this.#lock = null;
    }
    if (this.#contexts.length === 0) this.end();
  }
}
