/** What makes a clone's random generators new, and what of it is believed. */
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { acknowledged, startFakeFirefox, type FakeFirefox } from "../../test/fixtures/fake-firefox.ts";
import type { run } from "../lib/exec.ts";
import { createRenewal } from "./renewal.ts";
import { createSessionHolder } from "./session.ts";

const FRESH = Buffer.alloc(64, 7);
const NOT_RENEWED = { code: "not-renewed" };

let root: string;
let firefox: FakeFirefox;
let order: string[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "renewal-"));
  order = [];
  firefox = await startFakeFirefox(root);
  await firefox.set(300, 301, 302);
});

afterEach(async () => {
  await firefox.stop();
  await rm(root, { recursive: true });
});

const renewal = (kernel: () => void = () => {}) => {
  const runProgram: typeof run = async (file, args, options) => {
    order.push([file, ...args, options?.input].join(" "));
    kernel();
    return { stdout: "", stderr: "", exitCode: 0 };
  };
  const log = (): void => {};
  return createRenewal({ root, session: createSessionHolder(), runProgram, log, browserTimeoutMs: 300 });
};

const renew = (kernel?: () => void) => renewal(kernel).renew({ entropy: FRESH.toString("base64") });

test("the kernel's generator is made new of the host's bytes, and then Firefox's in each of its processes", async () => {
  firefox.answer = (pids) => {
    order.push("firefox");
    return acknowledged(pids);
  };
  expect(await renew()).toEqual({ browserProcesses: 3 });
  expect(order).toEqual([`perl /usr/lib/sallyport/renew-kernel.pl ${FRESH.toString("hex")}\n`, "firefox"]);
});

test("Firefox is not asked where the kernel's was not: it would take the template's bytes", async () => {
  const failing = renew(() => {
    throw new Error("RNDRESEEDCRNG: Operation not permitted");
  });
  await expect(failing).rejects.toMatchObject({ ...NOT_RENEWED, message: expect.stringContaining("RNDRESEEDCRNG") });
  expect(firefox.asked).toBe(0);
});

test.each<[what: string, answer: () => string | undefined]>([
  ["its own process failed", () => acknowledged([300, 301, 302], { 300: -1 })],
  ["a process for pages failed", () => acknowledged([300, 301, 302], { 302: "NSS answered 0,-1,-1" })],
  ["a process for pages said nothing", () => acknowledged([300, 301])],
  ["its own process said nothing", () => acknowledged([301, 302])],
  ["one that was started meanwhile failed", () => acknowledged([300, 301, 302, 999], { 999: -1 })],
  ["others answered than are there", () => acknowledged([300, 301, 999])],
  ["it answers with nonsense", () => "ready"],
  ["it closes without a word", () => ""],
  ["it does not answer", () => undefined],
])("refused when %s", async (_, answer) => {
  firefox.answer = answer;
  await expect(renew()).rejects.toMatchObject(NOT_RENEWED);
});

test("a process that runs no script cannot be reached: it is refused, with its kind, where it has a generator", async () => {
  await firefox.add(303, "/usr/lib/firefox-esr/firefox-esr", "-contentproc", "-parentPid", "300", "socket");
  expect(await renew()).toEqual({ browserProcesses: 3 });
  await writeFile(
    join(root, "proc/303/maps"),
    "7f01000-7f02000 r-xp 00000000 fe:00 7  /usr/lib/firefox-esr/libsoftokn3.so\n",
  );
  await expect(renew()).rejects.toMatchObject({ message: expect.stringContaining("socket 303: no word") });
});

test("another program in the browser's unit has no generator that pages see", async () => {
  await firefox.add(304, "/usr/lib/firefox-esr/crashhelper", "300");
  expect(await renew()).toEqual({ browserProcesses: 3 });
});

test.each([[[]], [[300]]])("refused when Firefox is not whole yet: %j", async (pids) => {
  await firefox.set(...pids);
  await expect(renew()).rejects.toMatchObject(NOT_RENEWED);
});

test("refused when nobody listens", async () => {
  await firefox.stop();
  await expect(renew()).rejects.toMatchObject(NOT_RENEWED);
});

test("a template has no saved seed, and is one only when it can be renewed", async () => {
  const seed = join(root, "var/lib/systemd/random-seed");
  await mkdir(dirname(seed), { recursive: true });
  await writeFile(seed, "the same for all");
  await renewal().settle();
  await expect(access(seed)).rejects.toMatchObject({ code: "ENOENT" });
  expect(firefox.asked).toBe(1);
  firefox.answer = () => acknowledged([300]);
  await expect(renewal().settle()).rejects.toMatchObject(NOT_RENEWED);
});
