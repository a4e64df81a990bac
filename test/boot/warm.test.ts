/** Sessions from a warm snapshot, with real guests: made by the controller, cloned twice at once and many times in a row, and looked at from outside. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { SessionView } from "../../src/contract/api.ts";
import { RESTORE_STAGES } from "../../src/contract/session.ts";
import { buildImage } from "../../src/image/build.ts";
import { digestOfFile } from "../../src/image/digest.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { keepSnapshot } from "../fixtures/data-dir.ts";
import { createBootHost, untilState, type BootHost } from "./host.ts";

/** That of the faults, which tells who it is on a port; they go on from the same snapshot. */
const IMAGE = "faults";
const TEMPLATE_MAC = "06:00:00:00:00:00";
/** In a row; more of them on demand. */
const STARTS = Number(process.env.SALLYPORT_TEST_STARTS ?? 10);
const START_MS = 40_000;
const READ_FRAMES = fileURLToPath(new URL("../fixtures/read-frames.pl", import.meta.url));

/** What a clone says of itself, and what it was given. */
interface Clone {
  view: SessionView;
  tap: string;
  mac: string | undefined;
  told: { hostname: string; machineId: string; bootId: string; random: string; clockSec: number };
  /** The host's clock before and after the guest read its own, as seconds. */
  between: [number, number];
}

let host: BootHost;
let made: { exitCode: number; output: string };
let clones: Clone[];
/** Of every frame on the host since before the first clone: interface, direction, sender's MAC and address. */
let frames: string[][];
let files: Awaited<ReturnType<typeof filesIn>>;

const filesIn = async (folder: string) => {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return Promise.all(
    entries.map(async ({ parentPath, name }) => {
      const { size, mode, mtimeMs } = await stat(join(parentPath, name));
      return { name, size, mode, mtimeMs, digest: await digestOfFile(join(parentPath, name)) };
    }),
  );
};

const startOne = async (): Promise<SessionView> => {
  const { sessionId } = await host.client.start({ provider: "claude_code", userId: "ada" });
  return untilState(host.client, sessionId, "ready");
};

const ASK_WHO = `
  const socket = require("node:net").connect(8090, process.argv[1], () => socket.write("tell\\n"));
  socket.on("data", (data) => process.stdout.write(data));
`;

const seeClone = async (): Promise<Clone> => {
  const view = await startOne();
  const before = Date.now() / 1000;
  const told = JSON.parse(await host.ask(process.execPath, "-e", ASK_WHO, view.browserIP ?? "")) as Clone["told"];
  const between: Clone["between"] = [before, Date.now() / 1000];
  const { facts } = await host.client.diagnosis(view.sessionId);
  const mac = facts?.guest?.links.find(({ name }) => name === "eth0")?.mac;
  const tap = (await host.client.vms()).find(({ sessionId }) => sessionId === view.sessionId)?.tap ?? "";
  return { view, told, between, mac, tap };
};

/** Answers with what ends it and gives what it saw. */
const recordFrames = async (): Promise<() => Promise<string[][]>> => {
  const lines: string[] = [];
  const logFile = join(inject("imageDataDir"), "boot-data", "warm-frames.log");
  const reader = await host.world.spawn("host", "perl", [READ_FRAMES], { onLine: (line) => lines.push(line), logFile });
  const isListening = async () => lines[0] === "listening" || undefined;
  await poll(isListening, { what: "the reader of frames", timeoutMs: 10_000, intervalMs: 50 });
  return async () => {
    await reader.stop();
    return lines.slice(1).map((line) => line.split(" "));
  };
};

beforeAll(async () => {
  await buildImage({
    name: IMAGE,
    recipeFile: fileURLToPath(new URL("../faults/image/recipe.yaml", import.meta.url)),
    paths: dataPaths(inject("imageDataDir")),
    signal: AbortSignal.timeout(180_000),
  });
  host = await createBootHost("warm", inject("imageDataDir"), { image: IMAGE, isWarm: true });
  made = await host.sallyport("image", "warm");
  await keepSnapshot({ cacheDir: inject("imageDataDir"), dataDir: host.paths.root, image: IMAGE });
  files = await filesIn(host.paths.snapshots);
  const framesSeen = await recordFrames();
  clones = await Promise.all([seeClone(), seeClone()]);
  frames = await framesSeen();
}, 10 * 60_000);
afterAll(() => host?.destroy());

test("the controller makes a snapshot when it is asked, and nothing is left of the microVM that it froze", async () => {
  expect(made, made.output).toMatchObject({ exitCode: 0, output: expect.stringContaining("warm snapshot of") });
  expect((await host.client.vms()).map(({ sessionId }) => sessionId)).not.toContain(null);
});

describe("two clones alive at once", () => {
  test("go the way of one that is restored", () => {
    for (const { view } of clones) expect(view.stages.map(({ stage }) => stage)).toEqual(RESTORE_STAGES);
  });

  test("have each its own MAC, address, hostname, machine id, boot id and random bytes", () => {
    const own = clones.map(({ view, mac, told }) => [
      view.browserIP,
      mac,
      told.hostname,
      told.machineId,
      told.bootId,
      told.random,
    ]);
    for (const values of own) expect(values.every((value) => Boolean(value))).toBe(true);
    expect(new Set(own.flat()).size).toBe(12);
    for (const { mac, tap, told } of clones) {
      expect(mac).not.toBe(TEMPLATE_MAC);
      expect(told.hostname).toBe(tap);
      expect(told.machineId).toMatch(/^[0-9a-f]{32}$/);
    }
  });

  test("know what time it is, to a second", () => {
    for (const { told, between } of clones) {
      expect(told.clockSec).toBeGreaterThan(between[0] - 1);
      expect(told.clockSec).toBeLessThan(between[1] + 1);
    }
  });

  test("send no frame under another name than their own, nor did they while they were restored", () => {
    for (const { view, mac, tap } of clones) {
      const sent = frames.filter(([device, direction]) => device === tap && direction === "in");
      // That they are seen at all.
      expect(sent).toContainEqual([tap, "in", mac, view.browserIP]);
      expect(sent.filter((frame) => frame[2] !== mac || frame[3] !== view.browserIP)).toEqual([]);
    }
    expect(frames.filter(([, , mac]) => mac === TEMPLATE_MAC)).toEqual([]);
  });
});

test(
  `${STARTS} in a row start and end, each a clone, and nothing is left of them`,
  { timeout: STARTS * START_MS },
  async () => {
    for (const { view } of clones) await host.client.destroy(view.sessionId);
    for (let count = 1; count <= STARTS; count += 1) {
      const { sessionId, stages } = await startOne();
      expect(
        stages.map(({ stage }) => stage),
        `start ${count}: ${stages.map(({ note = "" }) => note).join()}`,
      ).toEqual(RESTORE_STAGES);
      expect((await host.client.destroy(sessionId)).body.outcome).toBe("destroyed-by-request");
    }
    expect(await host.client.vms()).toEqual([]);
    expect((await host.client.reap({ dryRun: true })).found).toEqual([]);
    const key = (await readFile(host.paths.adminKey, "utf8")).trim();
    const socket = join(host.world.directory, "api.sock");
    const metrics = ["-s", "--unix-socket", socket, "-H", `authorization: Bearer ${key}`, "http://sallyport/metrics"];
    expect(await host.ask("curl", ...metrics)).toMatch(/^sallyport_leaked_resources 0$/m);
  },
);

test("nothing of the snapshot was changed by any of them", async () => {
  expect(await filesIn(host.paths.snapshots)).toEqual(files);
});
