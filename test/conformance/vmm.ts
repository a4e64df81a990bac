/** What every VMM backend must do; run against each of them with an environment of its own, and what else is held of some. */
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { connectChannel } from "../../src/channel/connect.ts";
import { GUEST_PROTOCOL, type GuestResult } from "../../src/contract/guest.ts";
import { isAlive } from "../../src/lib/process.ts";
import type { ProcessIdentity } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { untilQuiet } from "../../src/microvm/template.ts";
import { startedVersion } from "../../src/vmm/started.ts";
import type { MicrovmHandle } from "../../src/vmm/vmm.ts";
import { vmmProcesses } from "./vmm-processes.ts";
import { BOOT, createSuite, hooks, type VmmSuite, type VmmUnderTest } from "./vmm-suite.ts";

export const vmmConformance = (
  name: string,
  prepare: () => Promise<VmmUnderTest>,
  ...more: ((suite: VmmSuite) => void)[]
): void => {
  describe(`VMM backend ${name}`, () => {
    const suite = createSuite(prepare);
    const { backend, broken, saysBroken, root, newSpec, start, handle, vms } = suite;
    vmmProcesses(suite);
    for (const also of more) also(suite);

    test("tells of what it makes and of the process before it waits for it, and returns the same", async () => {
      const spec = await newSpec();
      const told: unknown[] = [];
      const { process } = await backend().start(spec, BOOT, {
        ...hooks(),
        acquire: async (kind, ref) => {
          expect(kind).toMatch(/^[a-z][a-z-]{0,31}$/);
          told.push({ kind, ref });
        },
        onProcess: async (identity) => {
          told.push(identity);
          expect(await isAlive(identity)).toBe(true);
        },
        beforeRun: async () => {
          expect(told.at(-1)).toMatchObject({ pid: expect.any(Number) });
          expect(await handle({ ...spec, process: null }).status(5_000)).not.toBe("running");
          told.push("before it runs");
        },
      });
      expect(told.splice(-1)).toEqual(["before it runs"]);
      expect(told.at(-1)).toEqual(process);
      expect(await isAlive(process)).toBe(true);
      const left = await handle({ ...spec, process }).left();
      const things = told.filter((one) => typeof one === "object" && one !== null && "kind" in one);
      expect(left).toEqual(expect.arrayContaining([...things, { kind: "process", ref: String(process.pid) }]));
    });

    test("says that the machine runs, to one client after the other, of a former controller's microVM, too", async () => {
      const { spec, process } = await start();
      for (let round = 0; round < 2; round += 1) {
        expect(await handle({ ...spec, process }).status(5_000)).toBe("running");
      }
    });

    test("offers the guest channel, one after the other, and writes the console", async () => {
      const { spec, process } = await start();
      const reader = { buffer: Buffer.alloc(1024), callback: () => true };
      const { signal } = new AbortController();
      for (let round = 0; round < 2; round += 1) {
        // Some VMMs offer it before there is a guest, others when the guest listens.
        const open = () => handle({ ...spec, process }).openChannel(reader, signal);
        const attempt = async () => open().catch(() => undefined);
        (await poll(attempt, { what: "the channel", timeoutMs: 240_000, intervalMs: 500 })).destroy();
      }
      const size = () => stat(spec.paths.console).then((found) => found.size || undefined);
      expect(await poll(size, { what: "the console", timeoutMs: 60_000, intervalMs: 50 })).toBeGreaterThan(0);
    });

    test("clones a machine that was frozen, where it can", async ({ skip }) => {
      const { snapshots } = backend();
      if (!snapshots) return skip("it has no snapshots");
      const folder = join(root(), "snapshot");
      await mkdir(folder, { mode: 0o700 });
      // At rest, as a template is: see `untilQuiet`.
      const spec = await newSpec({ kernelArgs: WITHOUT_SCREEN });
      const template = await snapshots.startTemplate(spec, folder, hooks());
      const { bootId } = await hello(template);
      await untilQuiet(template.process);
      await template.freeze(new AbortController().signal);
      expect(await template.status(5_000)).toBe("paused");
      await template.kill();
      const kept = await filesIn(folder);
      for (const { uid, mode } of kept.values()) expect({ uid, writers: mode & 0o222 }).toEqual({ uid: 0, writers: 0 });
      const ofMachine = { kernelArgs: spec.kernelArgs, mac: spec.mac };
      const clones = await Promise.all(
        [0, 1].map(async () =>
          backend().start(await newSpec(ofMachine), { kind: "restore", snapshot: folder }, hooks()),
        ),
      );
      for (const clone of clones) {
        expect(await clone.status(5_000)).toBe("running");
        expect((await hello(clone)).bootId).toBe(bootId);
      }
      expect(await filesIn(folder)).toEqual(kept);
      expect((await hello((await start(ofMachine)).handle)).bootId).not.toBe(bootId);
    });

    test("can freeze no microVM that was not started for it", async () => {
      const { handle: running, spec, process } = await start();
      for (const one of [running, handle({ ...spec, process })]) expect(one).not.toHaveProperty("freeze");
    });

    test("ends a start at once when it is told so, and leaves no process", async () => {
      const stop = new AbortController();
      const spec = await newSpec();
      const onProcess = async (): Promise<void> => stop.abort(new Error("enough"));
      const started = backend().start(spec, BOOT, { ...hooks(), onProcess, signal: stop.signal });
      await expect(started).rejects.toThrow("enough");
      expect(await handle({ ...spec, process: null }).processes()).toEqual([]);
      const late = { ...hooks(), signal: stop.signal };
      await expect(backend().start(await newSpec(), BOOT, late)).rejects.toThrow("enough");
      expect(await vms()).toEqual([]);
    });

    test.each([
      ["before it answered", "onProcess"],
      ["when its machine is to run", "beforeRun"],
    ] as const)("ends a start at once whose VMM is silent %s, and leaves no process", async (_, from) => {
      const stop = new AbortController();
      const spec = await newSpec();
      const vm = handle({ ...spec, process: null });
      const silence = async (...told: ProcessIdentity[]): Promise<void> => {
        for (const { pid } of [...told, ...(await vm.processes())]) process.kill(pid, "SIGSTOP");
        setTimeout(() => stop.abort(new Error("enough")), 300);
      };
      const started = backend().start(spec, BOOT, { ...hooks(), [from]: silence, signal: stop.signal });
      await expect(started).rejects.toThrow("enough");
      expect(await vms()).toEqual([]);
    });

    test("ends a start at once while others still prepare for its guest, and leaves no process", async () => {
      const stop = new AbortController();
      const beforeRun = (): Promise<never> => {
        setImmediate(() => stop.abort(new Error("enough")));
        return new Promise(() => {});
      };
      const started = backend().start(await newSpec(), BOOT, { ...hooks(), beforeRun, signal: stop.signal });
      await expect(started).rejects.toThrow("enough");
      expect(await vms()).toEqual([]);
    });

    test("records what was started where only the controller reads it", async () => {
      const { spec } = await start();
      expect((await stat(spec.paths.config)).mode & 0o777).toBe(0o600);
      const config = JSON.parse(await readFile(spec.paths.config, "utf8"));
      const { vmId, tap, mac, address } = spec;
      expect(config.spec, "by which doctor knows it").toMatchObject({ vmId, tap, mac, address });
      expect(config.argv.length).toBeGreaterThan(1);
      expect(await startedVersion(spec.paths)).toMatch(/^\d+\.\d+\.\d+/);
    });

    test("says why a VMM died at its start, and leaves nothing", async () => {
      const spec = broken(await newSpec());
      let told: ProcessIdentity | undefined;
      const failure = await backend()
        .start(spec, BOOT, {
          ...hooks(),
          onProcess: async (identity) => {
            told = identity;
          },
        })
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({
        code: expect.stringMatching(/^vmm-(died|refused)$/),
        message: expect.stringMatching(saysBroken()),
      });
      expect(told && (await isAlive(told))).toBe(false);
      expect(await vms()).toEqual([]);
      // Whoever asks why finds what it counted.
      expect((await handle({ ...spec, process: null }).left()).map(({ kind }) => kind)).toContain("cgroup");
    });

    test("leaves nothing when the process could not be recorded", async () => {
      const refusal = new Error("disk full");
      await expect(
        backend().start(await newSpec(), BOOT, { ...hooks(), onProcess: () => Promise.reject(refusal) }),
      ).rejects.toBe(refusal);
      expect(await vms()).toEqual([]);
    });
  });
};

/** A guest that has nothing to do once its agent is up. */
export const WITHOUT_SCREEN = ["systemd.mask=sallyport-display.service", "systemd.mask=sallyport-browser.service"];

/** Answered once the agent is up. */
export const hello = async ({ openChannel }: MicrovmHandle, timeoutMs = 240_000) => {
  const channel = connectChannel({ open: openChannel });
  const ask = (): Promise<GuestResult<"hello"> | undefined> =>
    channel.call("hello", { protocol: GUEST_PROTOCOL }, { timeoutMs: 10_000 }).catch(() => undefined);
  try {
    return await poll(ask, { what: "the agent", timeoutMs, intervalMs: 200 });
  } finally {
    channel.close();
  }
};

const filesIn = async (folder: string) =>
  new Map(
    await Promise.all(
      (await readdir(folder)).sort().map(async (name) => {
        const { uid, mode, size, mtimeMs } = await stat(join(folder, name));
        return [name, { uid, mode, size, mtimeMs }] as const;
      }),
    ),
  );
