/**
 * What a key means. Space is the big button, wherever the focus is, unless it rests on something that has its own use
 * for it; Escape stops the answer.
 *
 * @param {{type: "keydown" | "keyup", key: string, repeat: boolean}} event
 * @param {"page" | "talk" | "control"} focus the big button, another control, or neither
 * @param {{link: string, turns: string | null, holding: boolean}} state
 * @returns {{action: "talk" | "press" | "release" | "stop" | null, claimed: boolean}} `claimed`: the browser is to do
 *   nothing with it
 */
export function keyAction({ type, key, repeat }, focus, { link, turns, holding }) {
  if (key === "Escape" && type === "keydown") return { action: "stop", claimed: false };
  if (key !== " ") return NOTHING;
  if (type === "keyup") return holding ? { action: "release", claimed: focus !== "control" } : NOTHING;
  if (focus === "control") return NOTHING;
  const isHold = turns === "hold" && link !== "off";
  // The browser presses the button by itself when the key is let go.
  if (focus === "talk" && !isHold) return NOTHING;
  return { action: repeat ? null : isHold ? "press" : "talk", claimed: true };
}

const NOTHING = Object.freeze({ action: null, claimed: false });
