import { describe, expect, test } from "vitest";
import { keyRequest, startRequest } from "./api.ts";

const CASES: [userId: string, isFine: boolean][] = [
  ["ada", true],
  ["ada.lovelace+work@example.org", true],
  ["auth0|5f7c8ec7c33c6c004bbafe82", true],
  ["a".repeat(128), true],
  ["", false],
  ["a".repeat(129), false],
  // Shown as "aliece" written from right to left.
  ["ali\u202ece", false],
  ["ada\u0000", false],
  ["ada\n", false],
  ["ada lovelace", false],
  // Cyrillic.
  ["\u0430d\u0430", false],
  ["-x", false],
  ["../ada", false],
  ["<b>ada", false],
  ["\u001b]0;title\u0007", false],
];

describe("whose session it is can be shown to people and look like nothing else", () => {
  test.each(CASES)("%j: %s", (userId, isFine) => {
    expect(startRequest.safeParse({ provider: "oidc", userId }).success).toBe(isFine);
    expect(keyRequest.safeParse({ userId, scopes: ["login"] }).success).toBe(isFine);
  });

  test.each([
    ["front end, staging (Zürich)", true],
    ["a\u202eb", false],
    ["a\u200bb", false],
    ["a\nb", false],
    ["a\u2028b", false],
    ["\u001b[31mred", false],
    ["a".repeat(101), false],
  ])("a key's label %j: %s", (label, isFine) => {
    expect(keyRequest.safeParse({ userId: "ada", scopes: ["login"], label }).success).toBe(isFine);
  });
});
