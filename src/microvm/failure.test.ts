import { expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { failureOf, failWith, MicrovmFailure } from "./failure.ts";

const HINT = "Run sallyport doctor on this host.";
const thrown = (error: unknown): unknown => {
  try {
    return failWith(error, "vmm-up", HINT);
  } catch (cause) {
    return cause;
  }
};
const refused = new AppError("internal", "vmm-refused", "It was refused.", { hint: "Do that." });
const bug = new TypeError("x is undefined");

test.each(["ENOSPC", "EDQUOT"])("%s is a full disk's verdict wherever in a start it comes from", (code) => {
  const full = Object.assign(new Error(`${code}: write`), { code });
  const wrapped = new AppError("unavailable", "vmm-missing", "sh can't be started.", {
    hint: "apt install",
    cause: full,
  });
  const words = { code: "disk-full", hint: expect.stringContaining("Free space") };
  for (const error of [full, wrapped]) {
    expect(thrown(error)).toMatchObject({ verdict: { ...words, stage: "vmm-up" }, isSymptom: true, cause: error });
    expect(failureOf(error)).toMatchObject({ verdict: { ...words, stage: null }, isSymptom: true });
  }
});

test("an error with words for people keeps them, one that nobody foresaw is a bug of ours", () => {
  expect(thrown(refused)).toMatchObject({
    verdict: { code: "vmm-refused", sentence: "It was refused.", hint: "Do that." },
  });
  expect(failureOf(thrown(new AppError("internal", "a", "b.")))).toMatchObject({ verdict: { hint: HINT } });
  expect(thrown(bug)).toBe(bug);
  expect(failureOf(refused)).toMatchObject({ verdict: { code: "vmm-refused" }, isSymptom: true });
  expect(failureOf(bug)).toMatchObject({
    verdict: { code: "internal-error", sentence: bug.message },
    isSymptom: false,
  });
  const failure = new MicrovmFailure("agent", { code: "a", sentence: "b.", hint: "c." });
  expect(failureOf(failure)).toBe(failure);
});
