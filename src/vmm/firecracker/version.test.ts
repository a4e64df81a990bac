import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { elfProgram, type ElfProgram } from "../../../test/fixtures/elf-program.ts";
import { createGuardedFolder } from "../../../test/fixtures/guarded-folder.ts";
import { requireGuardedProgram } from "../../lib/guarded-path.ts";
import { findBinaries, requireSupported, untried, versionIn } from "./version.ts";

const { folder, remove } = createGuardedFolder();
chmodSync(folder, 0o755);
afterAll(remove);

/** A folder with both programs, which leave a file behind when they are run. */
type Said = string | Omit<ElfProgram, "ran">;
const binaries = (name: string, versions: { firecracker?: Said; jailer?: Said } = {}) => {
  const at = join(folder, name);
  mkdirSync(at);
  const put = (file: string, said: Said): string => {
    const path = join(at, file);
    const program = typeof said === "string" ? { says: said } : said;
    writeFileSync(path, elfProgram({ ...program, ran: `${at}/${file}-ran` }), { mode: 0o755 });
    return path;
  };
  return {
    at,
    firecracker: put("firecracker", versions.firecracker ?? "Firecracker v1.12.1"),
    jailer: put("jailer", versions.jailer ?? "Jailer v1.12.1"),
    hasRun: () => ["firecracker", "jailer"].filter((file) => exists(join(at, `${file}-ran`))),
  };
};
const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

test("finds both in the search path, or where the configuration says, and behind a link of root's", async () => {
  const { at, firecracker, jailer } = binaries("both");
  const found = { firecracker, jailer, version: "1.12.1" };
  expect(await findBinaries({ searchPath: `/nowhere:${at}` })).toEqual(found);
  expect(await findBinaries({ searchPath: "/nowhere", firecracker, jailer })).toEqual(found);
  symlinkSync(firecracker, join(folder, "link"));
  expect(await findBinaries({ searchPath: at, firecracker: join(folder, "link") })).toEqual(found);
});

test("says where it looked and how to get what is missing", async () => {
  await expect(findBinaries({ searchPath: "/nowhere:/else" })).rejects.toMatchObject({
    code: "vmm-missing",
    message: expect.stringContaining("looked for in PATH, /usr/local/bin and"),
    hint: expect.stringMatching(/release page.*\/usr\/local\/bin.*vmm\.firecracker, vmm\.jailer/),
  });
  await expect(findBinaries({ searchPath: "/nowhere", firecracker: "/opt/fc" })).rejects.toThrow(
    "looked for in /opt/fc",
  );
});

test.each([
  ["firecracker", 0o775],
  ["jailer", 0o757],
  [".", 0o775],
  [".", 0o1777],
] as const)("runs nothing when %s has mode %o", async (what, mode) => {
  const { at, hasRun } = binaries(`mode-${what}-${mode}`);
  chmodSync(join(at, what), mode);
  await expect(findBinaries({ searchPath: at })).rejects.toMatchObject({
    code: "program-unguarded",
    message: expect.stringContaining("may be written by others"),
  });
  expect(hasRun()).toEqual([]);
});

test("runs nothing that belongs to somebody else, or lies in a folder of somebody else's", () => {
  const { firecracker } = binaries("owned");
  expect(() => requireGuardedProgram(firecracker, [4_000_000])).toThrow(
    expect.objectContaining({ code: "program-unguarded", message: expect.stringContaining("belongs to user") }),
  );
  expect(() => requireGuardedProgram(folder)).toThrow("it is no file");
});

test("refuses two programs of different versions, and one that is another program", async () => {
  const mixed = binaries("mixed", { jailer: "Jailer v1.13.0" });
  await expect(findBinaries({ searchPath: mixed.at })).rejects.toMatchObject({ code: "vmm-mismatch" });
  const other = binaries("other", { firecracker: "Jailer v1.12.1" });
  await expect(findBinaries({ searchPath: other.at })).rejects.toThrow(/is no Firecracker: .*"Jailer v1.12.1"/);
  const swapped = binaries("swapped");
  renameSync(swapped.jailer, swapped.firecracker);
  await expect(findBinaries({ searchPath: swapped.at })).rejects.toMatchObject({ code: "vmm-missing" });
});

test.each<[what: string, spoil: (path: string) => void, says: RegExp]>([
  ["a shell's", (path) => writeFileSync(path, `#!/bin/sh\n: > ${path}-ran\n`), /is no program.*, but a script/],
  ["a web page", (path) => writeFileSync(path, "\n<!DOCTYPE html>"), /is no program.*, but a web page/],
  ["an archive", (path) => writeFileSync(path, gzipSync("x")), /is no program.*, but an archive/],
  ["nothing", (path) => truncateSync(path), /is no program/],
  ["linked dynamically", (path) => writeFileSync(path, readFileSync("/bin/sh")), /is linked dynamically/],
  ["without its sections", (path) => writeFileSync(path, withSections(readFileSync(path))), /only the beginning/],
  ["text", (path) => writeFileSync(path, `: > ${path}-ran\n`), /is no program/],
  ["its first bytes", (path) => truncateSync(path, 24), /is no program/],
  ["cut short", (path) => truncateSync(path, readFileSync(path).length - 1), /only the beginning of a program/],
  [
    "another machine's",
    (path) => writeFileSync(path, readFileSync(path).fill(183, 18, 19)),
    /is no program for x86-64, but one for another machine/,
  ],
])("does not run what is %s, nor has it run by a shell", async (what, spoil, says) => {
  const { at, jailer, hasRun } = binaries(`spoilt-${what}`);
  spoil(jailer);
  await expect(findBinaries({ searchPath: at })).rejects.toMatchObject({
    code: "vmm-missing",
    message: expect.stringMatching(says),
    hint: expect.stringContaining("release page"),
  });
  expect(hasRun()).toEqual([]);
});

/** Says that a table of sections, which is the last thing in a file and in no segment, is where the file ends. */
const withSections = (program: Buffer): Buffer => {
  program.writeBigUInt64LE(BigInt(program.length), 40);
  program.set([64, 0, 1], 58);
  return program;
};

test.each([
  ["a folder", (path: string) => mkdirSync(path), "is a folder"],
  ["not to be run", (path: string) => writeFileSync(path, "", { mode: 0o644 }), "may be run by nobody"],
  ["a link in a circle", (path: string) => symlinkSync(path, path), "is a link that leads in a circle"],
  ["a link to nothing", (path: string) => symlinkSync("/nonexistent", path), "is a link to what is not there"],
])("what is there and is %s is named, and not called missing", async (what, put, words) => {
  const at = join(folder, what);
  mkdirSync(at);
  const path = join(at, "firecracker");
  put(path);
  for (const options of [{ searchPath: `/nowhere:${at}` }, { searchPath: "/nowhere", firecracker: path }]) {
    await expect(findBinaries(options)).rejects.toThrow(`${path} ${words}`);
  }
});

test("what is asked for its version sees nothing of our environment", async () => {
  const { at } = binaries("environment", { firecracker: { says: null } });
  await expect(findBinaries({ searchPath: at })).rejects.toThrow("asked for its version it says nothing.");
});

test("a program that is being copied into its place is not there yet, and no fault of ours", async () => {
  const { at, firecracker } = binaries("copied");
  const writing = openSync(firecracker, "r+");
  await expect(findBinaries({ searchPath: at })).rejects.toMatchObject({
    code: "vmm-missing",
    message: expect.stringMatching(/firecracker cannot be run: .*ETXTBSY/),
    hint: expect.stringContaining("try again in a moment"),
  });
  closeSync(writing);
  expect(await findBinaries({ searchPath: at })).toMatchObject({ version: "1.12.1" });
});

test("a program that does not end well is none, and why is said", async () => {
  const { at, firecracker } = binaries("crashing");
  // Where its code begins: a trap.
  const bytes = readFileSync(firecracker);
  bytes.fill(0xcc, 120, 140);
  writeFileSync(firecracker, bytes);
  await expect(findBinaries({ searchPath: at })).rejects.toMatchObject({
    code: "vmm-missing",
    message: expect.stringContaining("firecracker cannot be run: "),
  });
});

test("a program that hangs is told from one that is not there, in the time it is given", async () => {
  const { at, jailer } = binaries("hanging");
  writeFileSync(jailer, elfProgram({ says: "Jailer v1.12.1", ran: `${at}/jailer-ran`, hangs: true }));
  await expect(findBinaries({ searchPath: at, versionMs: 2_000 })).rejects.toMatchObject({
    code: "vmm-missing",
    message: `The program jailer cannot be run: ${jailer} did not finish within 2 s.`,
  });
});

test("reads the version of a release and of a build, wherever it is said", async () => {
  expect(versionIn("Firecracker", "Firecracker v1.12.1\n\n2026 exiting successfully")).toBe("1.12.1");
  expect(versionIn("Firecracker", "a warning\nFirecracker v1.17.0-dev\n")).toBe("1.17.0-dev");
  expect(versionIn("Firecracker", "Firecracker v1.16.0-rc1\n")).toBe("1.16.0-rc1");
  expect(versionIn("Firecracker", "Firecracker v1.17\n")).toBe("1.17.0");
  for (const other of ["firecracker 1.2", "Firecracker v1", "not Firecracker v1.12.1", "Firecracker v1.12.1.5"]) {
    expect(versionIn("Firecracker", other), other).toBeUndefined();
  }
  const { at } = binaries("stderr", { firecracker: { says: "a warning\nFirecracker v1.12.1", stream: 2 } });
  expect(await findBinaries({ searchPath: at })).toMatchObject({ version: "1.12.1" });
});

test.each(["1.11.9", "0.25.0"])("refuses %s as too old", (version) => {
  expect(() => requireSupported(version)).toThrow(expect.objectContaining({ code: "vmm-too-old" }));
});

test("refuses 1.16.0, whose guest channel is dead after a restore, and no other from 1.12 on", () => {
  for (const version of ["1.16.0", "1.16.0-rc1"]) {
    expect(() => requireSupported(version)).toThrow(
      `${version} is not used: its guest channel is dead after a restore`,
    );
  }
  for (const version of ["1.12.0", "1.12.0-dev", "1.12.1", "1.15.1", "1.16.1", "1.17.0", "2.0.0"])
    requireSupported(version);
});

test("says that it was not tried with what is newer than all that it knows", () => {
  for (const version of ["1.12.0", "1.17.0-dev", "1.17.5"]) expect(untried(version)).toBe("");
  for (const version of ["1.18.0-dev", "1.18.1", "2.0.0"])
    expect(untried(version)).toMatch(/1\.12 to 1\.17.*not tried/);
});
