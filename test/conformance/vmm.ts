/** What every VMM backend must do; run against each of them with an environment of its own. */
import { chmod, mkdtemp, mkdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { commandLine, identify, isAlive, isStopped, killProcess } from "../../src/lib/process.ts";
import type { ProcessIdentity } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { exitIn } from "../../src/vmm/process.ts";
import { NOBODY, startDecoy } from "../fixtures/decoy.ts";
import type { FoundVmm, MicrovmSpec, VmmBackend, VmmRange } from "../../src/vmm/vmm.ts";

export interface VmmUnderTest {
  backend: VmmBackend;
  /** All of a specification but what the suite makes itself. */
  image: MicrovmSpec["image"];
  /** First of the users that the suite's VMMs run as; the hundred from it on are nobody else's. */
  uidBase: number;
  /** Makes the interface that the VMM opens, and takes it away. */
  makeTap: (tap: string, uid: number) => Promise<void>;
  removeTap: (tap: string) => Promise<void>;
  /** A specification the VMM can't start with. */
  broken: (spec: MicrovmSpec) => MicrovmSpec;
}

export const vmmConformance = (name: string, prepare: () => Promise<VmmUnderTest>): void => {
  describe(`VMM backend ${name}`, () => {
    let under: VmmUnderTest;
    let root: string;
    const taps: string[] = [];
    let microvms = 0;

    beforeAll(async () => {
      under = await prepare();
      // Short, for the sockets; open to the VMM's user, as a data directory is.
      root = await mkdtemp("/tmp/sp-vmm-");
      await chmod(root, 0o711);
    });

    afterEach(async () => {
      for (const found of await vms()) await under.backend.kill(found);
      for (const tap of taps.splice(0)) await under.removeTap(tap);
    });

    afterAll(() => rm(root, { recursive: true, force: true }));

    const newSpec = async (): Promise<MicrovmSpec> => {
      const vmId = newVmId();
      const spec: MicrovmSpec = {
        vmId,
        paths: dataPaths(root).vm(vmId),
        image: under.image,
        kernelArgs: [],
        vcpuCount: 1,
        memoryMib: 512,
        tap: `sp-${vmId}`,
        mac: "06:00:c0:a8:64:05",
        uid: under.uidBase + microvms++,
      };
      await mkdir(spec.paths.root, { recursive: true, mode: 0o711 });
      await under.makeTap(spec.tap, spec.uid);
      taps.push(spec.tap);
      return spec;
    };

    const start = async (): Promise<{ spec: MicrovmSpec; process: ProcessIdentity }> => {
      const spec = await newSpec();
      return { spec, process: await under.backend.start(spec, async () => {}) };
    };

    const range = (folder = join(root, "vms")): VmmRange => ({
      vmsDir: folder,
      uids: [under.uidBase, under.uidBase + 100],
    });
    const vms = (): Promise<FoundVmm[]> => under.backend.list(range());

    test("knows its version", async () => {
      expect(await under.backend.version()).toMatch(/^\d+\.\d+\.\d+$/);
    });

    test("tells of the process before it waits for it, and returns the same", async () => {
      const spec = await newSpec();
      const told: { identity: ProcessIdentity; isListening: boolean }[] = [];
      const process = await under.backend.start(spec, async (identity) => {
        told.push({ identity, isListening: await exists(spec.paths.control) });
      });
      expect(told).toEqual([{ identity: process, isListening: false }]);
      expect(await isAlive(process)).toBe(true);
    });

    test("says that the machine runs, to one client after the other", async () => {
      const { spec } = await start();
      for (let round = 0; round < 2; round += 1) {
        const client = await under.backend.connect(spec.paths, 5_000);
        expect(await client.status()).toBe("running");
        client.close();
      }
    });

    test("offers the guest channel and writes the console", async () => {
      const { spec } = await start();
      const channel = createConnection(spec.paths.channel);
      await once(channel, "connect");
      channel.destroy();
      const size = () => stat(spec.paths.console).then((found) => found.size || undefined);
      expect(await poll(size, { what: "the console", timeoutMs: 60_000, intervalMs: 50 })).toBeGreaterThan(0);
    });

    test("records what was started where only the controller reads it", async () => {
      const { spec } = await start();
      expect((await stat(spec.paths.config)).mode & 0o777).toBe(0o600);
      const config = JSON.parse(await readFile(spec.paths.config, "utf8"));
      expect(config.spec.vmId).toBe(spec.vmId);
      expect(config.argv.length).toBeGreaterThan(1);
    });

    test("lets the VMM outlive its controller: own session, own group, no pipe", async () => {
      const { process } = await start();
      const fields = (await readFile(`/proc/${process.pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
      const [, , group, session] = fields.map(Number);
      expect({ group, session }).toEqual({ group: process.pid, session: process.pid });
      const ends = await Promise.all([0, 1, 2].map((fd) => readlink(`/proc/${process.pid}/fd/${fd}`)));
      expect(ends.filter((end) => end.startsWith("pipe:") || end.startsWith("socket:"))).toEqual([]);
    });

    test("gives the VMM nothing of the controller's environment", async () => {
      process.env["SALLYPORT_TEST_SECRET"] = "planted";
      const { process: vmm } = await start();
      expect(await readFile(`/proc/${vmm.pid}/environ`, "utf8")).not.toContain("planted");
      delete process.env["SALLYPORT_TEST_SECRET"];
    });

    test("finds its processes by the directory they serve, and no others", async () => {
      const first = await start();
      const second = await start();
      const found = (await vms()).sort((a, b) => a.process.pid - b.process.pid);
      expect(found).toEqual([
        { vmId: first.spec.vmId, uid: first.spec.uid, process: first.process },
        { vmId: second.spec.vmId, uid: second.spec.uid, process: second.process },
      ]);
      expect(await under.backend.list(range(join(root, "vm")))).toEqual([]);
      expect(await under.backend.list(range("/nowhere"))).toEqual([]);
      expect(await under.backend.list({ ...range(), uids: [second.spec.uid, second.spec.uid] })).toHaveLength(1);
    });

    test("kills for certain, and twice", async () => {
      const { spec, process } = await start();
      await under.backend.kill({ ...spec, process });
      expect(await identify(process.pid)).toBeUndefined();
      expect(await vms()).toEqual([]);
      await under.backend.kill({ ...spec, process });
      await expect(under.backend.connect(spec.paths, 200)).rejects.toMatchObject({ kind: "timeout" });
    });

    test("leaves in the VMM's log how it ended when somebody else ended it", async () => {
      const { spec, process: vmm } = await start();
      process.kill(vmm.pid, "SIGKILL");
      const exit = async (): Promise<string | undefined> =>
        exitIn(await readFile(spec.paths.vmmLog, "utf8")) ?? undefined;
      expect(await poll(exit, { what: "its end in the log", timeoutMs: 10_000, intervalMs: 50 })).toBe(
        "was ended by SIGKILL",
      );
    });

    test("is seen to be stopped, and to go on", async () => {
      const { process: vmm } = await start();
      expect(await isStopped(vmm)).toBe(false);
      process.kill(vmm.pid, "SIGSTOP");
      const stopped = async (): Promise<true | undefined> => (await isStopped(vmm)) || undefined;
      await poll(stopped, { what: "the stop", timeoutMs: 5_000, intervalMs: 20 });
      expect(await isAlive(vmm)).toBe(true);
      process.kill(vmm.pid, "SIGCONT");
      const running = async (): Promise<true | undefined> => !(await isStopped(vmm)) || undefined;
      await poll(running, { what: "its going on", timeoutMs: 5_000, intervalMs: 20 });
    });

    test("kills no process that only has the number", async () => {
      const { spec, process } = await start();
      await under.backend.kill({ ...spec, uid: spec.uid + 1, process: { ...process, startTicks: "1" } });
      expect(await isAlive(process)).toBe(true);
    });

    test("kills what was never recorded, and what a VMM left behind in a session of its own", async () => {
      const { spec, process } = await start();
      const child = await startDecoy(["perl", "-e", "sleep 600"], { uid: spec.uid });
      const other = await startDecoy(["perl", "-e", "sleep 600"], { uid: spec.uid + 1 });
      expect(await under.backend.processes({ ...spec, process: null })).toEqual(
        expect.arrayContaining([process, child]),
      );
      await under.backend.kill({ ...spec, process: null });
      expect(await under.backend.processes({ ...spec, process })).toEqual([]);
      expect(await isAlive(other)).toBe(true);
      await killProcess("The decoy", other);
    });

    test("is not deceived by another user's process that says the same of itself, nor keeps what it says", async () => {
      const { spec, process } = await start();
      const args = await commandLine(process.pid);
      const [same, endless] = await Promise.all([
        startDecoy(["perl", "-e", "sleep 600", ...args], { uid: NOBODY }),
        startDecoy(["perl", "-e", "sleep 600", ...args, ...Array<string>(15).fill("x".repeat(100_000))], {
          uid: NOBODY,
        }),
      ]);
      expect(await vms()).toEqual([{ vmId: spec.vmId, uid: spec.uid, process }]);
      expect(Buffer.byteLength((await commandLine(endless.pid)).join(" "))).toBeLessThan(129 * 1024);
      await under.backend.kill({ ...spec, process });
      expect(await isAlive(process)).toBe(false);
      for (const decoy of [same, endless]) {
        expect(await isAlive(decoy)).toBe(true);
        await killProcess("The decoy", decoy);
      }
    });

    test("says why a VMM died at its start, and leaves nothing", async () => {
      const spec = under.broken(await newSpec());
      let told: ProcessIdentity | undefined;
      const failure = await under.backend
        .start(spec, async (identity) => {
          told = identity;
        })
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "vmm-died", message: expect.stringMatching(/could not open/i) });
      expect(told && (await isAlive(told))).toBe(false);
      expect(await vms()).toEqual([]);
    });

    test("leaves nothing when the process could not be recorded", async () => {
      const refusal = new Error("disk full");
      await expect(under.backend.start(await newSpec(), () => Promise.reject(refusal))).rejects.toBe(refusal);
      expect(await vms()).toEqual([]);
    });
  });
};

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
