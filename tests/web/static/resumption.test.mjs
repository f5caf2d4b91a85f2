import assert from "node:assert/strict";
import { test } from "node:test";

import { Resumption } from "../../../web/static/resumption.js";

const created = { type: "session.created", session: { id: "s1" }, resume_token: "t", server_event_seq: 1 };
const event = (number) => ({ type: "response.listen", server_event_seq: number });

test("without a session there is nothing to go on with", () => {
  const resumption = new Resumption();
  resumption.receivedBinary();
  resumption.receivedEvent({ type: "session.queued", position: 1 });
  assert.equal(resumption.possible, false);
  assert.equal(resumption.acknowledgement(), null);
});

test("a server that gives no token cannot be come back to", () => {
  const resumption = new Resumption();
  resumption.receivedEvent({ type: "session.created", session: { id: "s1" }, server_event_seq: 1 });
  assert.equal(resumption.possible, false);
});

test("binary messages are counted, events say their number", () => {
  const resumption = new Resumption();
  resumption.receivedEvent(created);
  resumption.receivedEvent(event(2));
  resumption.receivedBinary();
  resumption.receivedBinary();
  assert.deepEqual(resumption.request(), { type: "session.resume", session_id: "s1", resume_token: "t", last_received_server_event_seq: 4 });
  // The sound of a response that was cut off is left out of a replay: the next event says how much that was.
  resumption.receivedEvent({ type: "session.resumed", session_id: "s1", resume_token: "t" });
  resumption.receivedEvent(event(9));
  assert.equal(resumption.request().last_received_server_event_seq, 9);
});

test("the first event is acknowledged at once, then every tenth", () => {
  const resumption = new Resumption();
  resumption.receivedEvent(created);
  const said = [];
  for (let number = 2; number <= 25; number += 1) {
    said.push(resumption.acknowledgement()?.server_event_seq ?? null);
    resumption.receivedEvent(event(number));
  }
  assert.deepEqual(said.filter((number) => number !== null), [1, 11, 21]);
});

test("a new session counts afresh", () => {
  const resumption = new Resumption();
  resumption.receivedEvent(created);
  for (let number = 2; number <= 40; number += 1) resumption.receivedBinary();
  resumption.acknowledgement();
  resumption.receivedEvent({ ...created, session: { id: "s2" }, resume_token: "u" });
  assert.deepEqual(resumption.acknowledgement(), { type: "session.event_ack", server_event_seq: 1 });
  assert.equal(resumption.request().session_id, "s2");
  resumption.forget();
  assert.equal(resumption.possible, false);
});
