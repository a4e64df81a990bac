/** What may come in between while a warm snapshot is made: with fake machines, whose template says nothing for as long as it is wanted. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import type { OpenStream } from "../../src/lib/open-stream.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { poll } from "../../src/lib/wait.ts";
import { listVmms } from "../../src/vmm/process.ts";
import type { VmmBackend } from "../../src/vmm/vmm.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { fillDiskWith } from "../fixtures/fill-disk.ts";

const WARM = { config: { warm: { snapshots: true } }, tidyIntervalMs: 100 };

/** A controller whose template has been booted, and never gets further. */
const making = async (): Promise<TestController> => {
  const controller = await startController({ ...WARM, behaviour: () => ({ agentDelayMs: 600_000 }) });
  await controller.client.makeWarm();
  const isRunning = async () => {
    const [vm] = await controller.client.vms();
    return vm?.holds.some(({ kind }) => kind === "process") || undefined;
  };
  await poll(isRunning, { what: "the template", timeoutMs: 20_000, intervalMs: 20 });
  return controller;
};

const foldersOf = ({ paths }: TestController): Promise<string[]> => unlessMissing(readdir(paths.snapshots), []);

test("a controller that stops takes what it makes with it", async () => {
  const controller = await making();
  expect(await foldersOf(controller)).toEqual([expect.stringMatching(/\.new$/)]);
  await controller.stop();
  onTestFinished(() => rm(controller.paths.root, { recursive: true, force: true }));
  expect(controller.log()).not.toContain("It took longer than");
  expect(await listVmms(controller.microvms)).toEqual([]);
  expect(await foldersOf(controller)).toEqual([]);
  expect(await readdir(controller.paths.vms)).toEqual([]);
  expect(await controller.network.found()).toEqual([]);
});

test("meanwhile its template is nobody's orphan, is made once however often one asks, and keeps the network", async () => {
  const controller = await making();
  onTestFinished(() => controller.dispose());
  const { client } = controller;
  await Promise.all([client.makeWarm(), client.makeWarm()]);
  const [vm, ...more] = await client.vms();
  expect([vm?.sessionId, more]).toEqual([null, []]);
  expect(await client.reap({ dryRun: false })).toEqual({ found: [], removed: [], failed: [] });
  expect(await client.sessions()).toEqual([]);
  await expect(client.removeNetwork()).rejects.toMatchObject({
    code: "microvms-running",
    message: expect.stringContaining("what a warm snapshot is made of"),
  });
  expect(await client.vms()).toMatchObject([{ vmId: vm?.vmId }]);
});

test("a disk that is full when it is frozen: the reason is told, nothing is left, and with space another one is made", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "sallyport-full-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=4g,mode=711", "sallyport-test", dataDir]);
  const controller = await startController({ ...WARM, dataDir, vmm: fullWhenFrozen(dataDir) });
  onTestFinished(async () => {
    await controller.stop();
    await run("umount", [dataDir]);
    await rm(dataDir, { recursive: true });
  });
  const { client } = controller;
  await client.makeWarm();
  const failure = async () => (await client.warm()).failure ?? undefined;
  expect(await poll(failure, { what: "the failure", timeoutMs: 20_000, intervalMs: 20 })).toMatch(/disk is full/);
  expect(await listVmms(controller.microvms)).toEqual([]);
  expect(await foldersOf(controller)).toEqual([]);

  await run("mount", ["-o", "remount,size=4g", dataDir]);
  await rm(fillerIn(dataDir));
  const isTidy = async () => ((await client.vms()).length === 0 ? true : undefined);
  await poll(isTidy, { what: "the rest of the template's removal", timeoutMs: 10_000, intervalMs: 50 });
  await client.makeWarm();
  const made = async () => (await client.warm()).snapshot ?? undefined;
  await poll(made, { what: "a warm snapshot", timeoutMs: 20_000, intervalMs: 50 });
  expect((await client.reap({ dryRun: true })).found).toEqual([]);
});

const fillerIn = (dataDir: string): string => join(dataDir, "filler");

/** The first time. */
const fullWhenFrozen = (dataDir: string): VmmBackend => {
  const backend = createFakeBackend();
  const { snapshots } = backend;
  if (!snapshots) throw new Error("the fake has snapshots");
  let isFirst = true;
  return {
    ...backend,
    snapshots: {
      ...snapshots,
      startTemplate: async (spec, folder, hooks) => {
        const template = await snapshots.startTemplate(spec, folder, hooks);
        const freeze = async (signal: AbortSignal): Promise<void> => {
          if (isFirst) await fill(dataDir);
          isFirst = false;
          await template.freeze(signal);
        };
        return { ...template, freeze };
      },
    },
  };
};

const fill = async (dataDir: string): Promise<void> => {
  await run("mount", ["-o", "remount,size=8m", dataDir]);
  await fillDiskWith(fillerIn(dataDir));
};

/** Tells, of each template that is frozen, what it was started as and who speaks to it still. */
const watched = (onFreeze: (seen: { mac: string; kernelArgs: string[]; opened: number; open: number }) => void) => {
  const backend = createFakeBackend();
  const { snapshots } = backend;
  if (!snapshots) throw new Error("the fake has snapshots");
  const startTemplate: typeof snapshots.startTemplate = async (spec, folder, hooks) => {
    const template = await snapshots.startTemplate(spec, folder, hooks);
    const sockets: Socket[] = [];
    const openChannel: OpenStream = async (reader, signal) => {
      const socket = await template.openChannel(reader, signal);
      sockets.push(socket);
      return socket;
    };
    const freeze = async (signal: AbortSignal): Promise<void> => {
      const { mac, kernelArgs } = spec;
      const open = sockets.filter(({ destroyed }) => !destroyed).length;
      onFreeze({ mac, kernelArgs, opened: sockets.length, open });
      await template.freeze(signal);
    };
    return { ...template, openChannel, freeze };
  };
  return { ...backend, snapshots: { ...snapshots, startTemplate } } satisfies VmmBackend;
};

test("a template has no microVM's MAC or address, never joins the bridge, and nobody speaks to it when it is frozen", async () => {
  const seen: unknown[] = [];
  const vmm = watched((template) => seen.push({ ...template, taps: [...controller.network.host.taps.keys()] }));
  const controller = await startController({ ...WARM, tidyIntervalMs: 600_000, vmm });
  onTestFinished(() => controller.dispose());
  await controller.client.makeWarm();
  const made = async () => (await controller.client.warm()).snapshot ?? undefined;
  await poll(made, { what: "a warm snapshot", timeoutMs: 20_000, intervalMs: 50 });
  expect(seen).toEqual([{ mac: "06:00:00:00:00:00", kernelArgs: [], opened: 1, open: 0, taps: [] }]);
});

test("of an image whose agent speaks another protocol there is no snapshot, and the reason is told", async () => {
  const controller = await startController({ ...WARM, tidyIntervalMs: 600_000, behaviour: () => ({ protocol: 1 }) });
  onTestFinished(() => controller.dispose());
  await controller.client.makeWarm();
  const isOver = async () => ((await controller.client.warm()).doing === null ? true : undefined);
  await poll(isOver, { what: "the making's end", timeoutMs: 20_000, intervalMs: 20 });
  expect(await controller.client.warm()).toMatchObject({
    snapshot: null,
    failure: expect.stringContaining("speaks protocol 1"),
  });
});
