import { describe, expect, test } from "vitest";
import { endWords, pairingCodeOf, stateWords, timeLeft, waitingSentence } from "./words.ts";

test.each([
  ["AB12-CD34", "AB12-CD34"],
  [" ab12cd34 ", "AB12-CD34"],
  ["ab12 cd34", "AB12-CD34"],
  ["OIL2-CD34", "0112-CD34"],
  ["AB12-CD3", undefined],
  ["AB12-CD345", undefined],
  ["UB12-CD34", undefined],
  ["", undefined],
])("pairingCodeOf(%j) is %j", (typed, code) => {
  expect(pairingCodeOf(typed)).toBe(code);
});

test.each([
  [899_999, "14 min left"],
  [120_000, "2 min left"],
  [119_999, "1:59 left"],
  [9_000, "0:09 left"],
  [-5, "0:00 left"],
])("timeLeft(%d) is %s", (ms, text) => {
  expect(timeLeft(ms)).toBe(text);
});

test("waitingSentence says what is in the way, and the strip that the machine does not answer", () => {
  const warning = "The guest's TAP is down on the host: no frame passes it.";
  expect(waitingSentence({ state: "starting", stage: "reachable", progress: { passed: 5, of: 8 }, warning })).toBe(
    `Step 6 of 8: checking the network… It takes longer than it should. ${warning}`,
  );
  expect(stateWords({ state: "active", warning })).toBe("Not answering");
  expect(stateWords({ state: "active", warning: null })).toBe("Connected");
});

test("waitingSentence counts the stages", () => {
  expect(waitingSentence({ state: "starting", stage: "identity", progress: { passed: 2, of: 6 }, warning: null })).toBe(
    "Step 3 of 6: making it yours…",
  );
});

describe("endWords", () => {
  const refused = { code: "session-over", sentences: "The session is over. Start a new one." };

  test("whoever sat in front of it is told that nothing is left", () => {
    expect(endWords(refused, true)).toMatchObject({ title: "The browser has been destroyed" });
  });

  test("whoever comes too late gets the server's words", () => {
    expect(endWords(refused, false)).toEqual({ title: "There is no browser here", text: refused.sentences });
  });

  test("a failure speaks for itself", () => {
    const failed = { code: "session-failed", sentences: "The guest never got its address. See sallyport diagnose." };
    expect(endWords(failed, true)).toEqual({ title: "The browser failed", text: failed.sentences });
  });
});
