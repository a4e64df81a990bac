import { expect, test } from "vitest";
import { newApiKey, newKeyId, newPairingCode, newSecret, newSessionId, newVmId, tapOf } from "./id.ts";

test.each([
  ["a session's id: 130 bits", newSessionId, /^ses_[0-9a-hjkmnp-tv-z]{26}$/],
  ["a microVM's id", newVmId, /^[0-9a-hjkmnp-tv-z]{12}$/],
  ["a key's id", newKeyId, /^key_[0-9a-hjkmnp-tv-z]{12}$/],
  ["a key: 256 bits", newApiKey, /^sally_[\w-]{43}$/],
  ["a cookie's or ticket's secret: 256 bits", newSecret, /^[\w-]{43}$/],
  ["a pairing code: 40 bits", newPairingCode, /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/],
])("%s, never twice, of the whole alphabet", (_what, make, shape) => {
  const made = Array.from({ length: 1000 }, make);
  expect(made.filter((one) => !shape.test(one))).toEqual([]);
  expect(new Set(made).size).toBe(made.length);
  expect(new Set(made.join("").toLowerCase()).size).toBeGreaterThanOrEqual(32);
});

test("a TAP's name fits what Linux allows for an interface", () => {
  expect(tapOf(newVmId()).length).toBeLessThanOrEqual(15);
});
