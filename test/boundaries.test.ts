import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { circlesIn, importsOf, MAY_IMPORT, targetsOf, unusedPermissions, violationsOf } from "./boundaries.ts";

const files = new Map(
  ["src", "rig", "web", "scripts", "bin"]
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`))
    .filter((path) => /\.(ts|mjs)$/.test(path))
    .map((path) => [path, readFileSync(path, "utf8")]),
);

test("no file leaves its room", () => {
  expect(files.size).toBeGreaterThan(100);
  expect([...files].flatMap(([path, text]) => violationsOf(path, text))).toEqual([]);
});

test("the table permits only what is used", () => {
  expect(unusedPermissions(files)).toEqual([]);
});

test("no circle, neither of files nor of rooms", () => {
  expect(circlesIn(new Map([...files].map(([path, text]) => [path, targetsOf(path, text)])))).toEqual([]);
  const rooms = Object.entries(MAY_IMPORT).map(
    ([room, others]) => [room, others.map((one) => one.replace(/\/.*/, ""))] as const,
  );
  expect(circlesIn(new Map(rooms))).toEqual([]);
});

describe("the checker", () => {
  test.each([
    ["src/vmm/qemu/start.ts", 'import { driver } from "../../session/driver.ts";', "vmm may not import session"],
    ["src/lib/exec.ts", 'export * from "../state/db.ts";', "lib may not import state"],
    ["src/http/server.ts", 'const app = await import("../app.ts");', "imports app.ts"],
    ["src/contract/api.ts", 'import { Buffer } from "node:buffer";', "contract knows only zod"],
    ["src/lib/paths.ts", 'import x from "../../scripts/run.mjs";', "lib may not import scripts"],
    ["scripts/run.mjs", 'import { deploy } from "../rig/deployment.ts";', "scripts may not import rig"],
    ["src/cli/commands/up.ts", 'await import("../../../rig/main.ts");', "cli may not import rig"],
    ["rig/world.ts", 'import { createService } from "../src/session/lives.ts";', "rig may not import session"],
    ["src/http/server.ts", 'import { createService } from "../session/lives.ts";', "http may not import session"],
    ["src/doctor/machine.ts", 'import { QEMU } from "../vmm/qemu/arguments.ts";', "a VMM backend's files are its own"],
    ["src/app.ts", 'import { createQemuBackend } from "./vmm/qemu/backend.ts";', "a VMM backend's files are its own"],
    ["src/vmm/process.ts", 'import { QEMU } from "./qemu/arguments.ts";', "a VMM backend's files are its own"],
    ["src/nowhere/x.ts", "", "no known room"],
    ["src/http/events.ts", "reply.hijack();", "writes an answer by hand"],
    ["src/http/events.ts", "reply.raw.write(text);", "writes an answer by hand"],
    ["src/network/bridge.ts", "const path = process.env.PATH;", "reads process.env"],
    ["src/network/bridge.ts", 'import { exec } from "node:child_process";', "goes through a shell"],
    ["src/network/bridge.ts", 'spawn("ip", [], { shell: true });', "starts a shell"],
  ])("%s: %s", (path, text, sentence) => {
    expect(violationsOf(path, text)).toEqual([expect.stringContaining(sentence)]);
  });

  test.each([
    ["src/session/driver.ts", 'import type { VmmBackend } from "../vmm/vmm.ts";'],
    [
      "src/guest/main.ts",
      'import { health } from "../contract/guest.ts";\nimport { readFile } from "node:fs/promises";',
    ],
    ["src/cli/commands/up.ts", 'import { App } from "../../app.ts";'],
    ["src/vmm/vmm.ts", '// unlike "../session/driver.ts"\n/**\n * import x from "../session/driver.ts"\n */'],
    ["rig/world.ts", 'import { run } from "../src/lib/exec.ts";\nimport { spawnIn } from "./world-process.ts";'],
    ["src/config/env.ts", "export const home = process.env.HOME;"],
    ["src/vmm/qemu/start.ts", 'import { spawn } from "node:child_process";'],
  ])("%s is fine with %s", (path, text) => {
    expect(violationsOf(path, text)).toEqual([]);
  });

  test("a permission that nobody uses", () => {
    expect(unusedPermissions(new Map([["src/main.ts", 'import { runCli } from "./cli/cli.ts";']]))).toContainEqual(
      expect.stringMatching(/^main\.ts may import config and does not/),
    );
  });

  test("circles, each once, by way of everybody in them", () => {
    const imports = { a: ["b"], b: ["c", "d"], c: ["a"], d: ["d"], e: ["a"] };
    expect(circlesIn(new Map(Object.entries(imports)))).toEqual(["a → b → c → a", "d → d"]);
    expect(circlesIn(new Map(Object.entries({ a: ["b", "c"], b: ["c"] })))).toEqual([]);
  });

  test("a file, even of tests, has at most 300 lines", () => {
    expect(violationsOf("src/network/bridge.test.ts", "x;\n".repeat(300))).toEqual([]);
    expect(violationsOf("src/network/bridge.test.ts", "x;\n".repeat(301))).toEqual([
      expect.stringContaining("more than 300 lines"),
    ]);
  });

  test("finds imports of every form", () => {
    const text =
      'import a from "./a.ts";\nimport type {\n  B,\n} from "./b.ts";\nimport "./c.ts";\nexport { d } from "./d.ts";\nawait import("./e.ts");';
    expect(importsOf(text)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts"]);
  });
});
