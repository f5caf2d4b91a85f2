// So that the server keeps little, and still little is said: about twice a second while an answer comes.
const ACKNOWLEDGE_EVERY = 10;

/**
 * What a page must remember to go on with a session whose connection was lost: its name, its token, and how much of it
 * has arrived. A binary message takes a number that it cannot carry, so it is counted.
 */
export class Resumption {
  #session = null;
  #received = 0;
  #acknowledged = 0;

  /** Whether there is a session to go on with. */
  get possible() {
    return this.#session !== null;
  }

  /** @param {{type: string}} event any event of the server, in order */
  receivedEvent(event) {
    if (event.type === "session.created") {
      this.#session = event.resume_token ? { id: event.session.id, token: event.resume_token } : null;
      this.#acknowledged = 0;
    } else if (event.type === "session.resumed" && this.#session) {
      this.#session = { id: event.session_id, token: event.resume_token };
    }
    if (Number.isInteger(event.server_event_seq)) this.#received = event.server_event_seq;
  }

  /** A binary message arrived. */
  receivedBinary() {
    if (this.#session) this.#received += 1;
  }

  /** @returns {{type: string} | null} what the server is to be told now, if anything */
  acknowledgement() {
    const first = this.#acknowledged === 0;
    if (!this.#session || this.#received === 0) return null;
    if (!first && this.#received - this.#acknowledged < ACKNOWLEDGE_EVERY) return null;
    this.#acknowledged = this.#received;
    return { type: "session.event_ack", server_event_seq: this.#received };
  }

  /** @returns {{type: string}} the first event on a connection with `resume=1` */
  request() {
    return {
      type: "session.resume",
      session_id: this.#session.id,
      resume_token: this.#session.token,
      last_received_server_event_seq: this.#received,
    };
  }

  /** The session is over. */
  forget() {
    this.#session = null;
    this.#received = 0;
    this.#acknowledged = 0;
  }
}
