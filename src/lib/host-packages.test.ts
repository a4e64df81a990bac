import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { missingRequirements, REQUIREMENTS, type Probe } from "./host-packages.mjs";

const complete: Probe = {
  find: (program) => `/usr/bin/${program}`,
  exists: () => true,
  version: () => "version 10.0.2",
};
const names = (probe: Probe): string[] =>
  missingRequirements(["vmm", "jail", "microvm", "image"], probe).map((one) => one.package);

test("nothing is missing where everything is there", () => {
  expect(names(complete)).toEqual([]);
});

test("a program that is not there is missing", () => {
  expect(names({ ...complete, find: (program) => (program === "bridge" ? undefined : program) })).toEqual(["iproute2"]);
});

test("a file that is not there is missing", () => {
  expect(names({ ...complete, exists: (path) => !path.endsWith("qboot.rom") })).toEqual(["qemu-system-x86"]);
});

test("a program that is too old counts as missing", () => {
  const version = (path: string): string =>
    path.includes("qemu") ? "QEMU emulator version 7.2.22 (Debian 1:7.2)" : "1.5.6";
  expect(names({ ...complete, version })).toEqual(["qemu-system-x86"]);
});

test("whoever does not ask for versions gets none checked", () => {
  const { version, ...probe } = complete;
  expect(version?.("/usr/bin/nft")).toBe("version 10.0.2");
  expect(names(probe)).toEqual([]);
});

test("docs/HOST-SETUP.md names every package", () => {
  const text = readFileSync("docs/HOST-SETUP.md", "utf8");
  expect(REQUIREMENTS.map((one) => one.package).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test("a browser is asked for only where somebody plays the person", () => {
  const none: Probe = { ...complete, find: () => undefined };
  expect(missingRequirements(["person"], none).map((one) => one.package)).toEqual(["chromium"]);
});
