import { describe, expect, test } from "vitest";
import { digestOf, digestOfValue, imageDigest, uuidOf } from "./digest.ts";

describe("digestOfValue", () => {
  test("does not depend on the order of keys, at any depth", () => {
    expect(digestOfValue({ a: 1, b: [{ x: 1, y: 2 }] })).toBe(digestOfValue({ b: [{ y: 2, x: 1 }], a: 1 }));
  });

  test("depends on every value and on the order of lists", () => {
    const digests = [{ a: 1 }, { a: "1" }, { b: 1 }, { a: [1, 2] }, { a: [2, 1] }].map(digestOfValue);
    expect(new Set(digests).size).toBe(digests.length);
  });
});

describe("imageDigest", () => {
  const parts = { rootfs: "1", vmlinux: "2", initrd: "3", recipe: "4" };

  test("changes with each of its parts", () => {
    const changed = Object.keys(parts).map((part) => imageDigest({ ...parts, [part]: "x" }));
    expect(new Set([imageDigest(parts), ...changed]).size).toBe(5);
  });
});

describe("uuidOf", () => {
  test("is a UUID of version 8, the same for the same digest", () => {
    expect(uuidOf(digestOf("a"))).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(uuidOf(digestOf("a"))).toBe(uuidOf(digestOf("a")));
    expect(uuidOf(digestOf("a"))).not.toBe(uuidOf(digestOf("b")));
  });
});
