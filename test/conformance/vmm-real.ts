/** Of every VMM that runs guests in its jail, beside what every backend does: what it is as a process, and its console. */
import { readFile, readlink, stat, truncate } from "node:fs/promises";
import { expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import { MAX_FILE_BYTES } from "../../src/vmm/jail.ts";
import { asUser } from "../../src/vmm/unprivileged.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";
import { BOOT, hooks, type VmmSuite } from "./vmm-suite.ts";

export interface Jailed {
  /** Rights that it could get at most by running a program, as the kernel writes them; it may gain nothing so. */
  boundingSet: string;
  openFiles: number;
}

export const NO_RIGHTS = "0000000000000000";

export const realVmm =
  ({ boundingSet, openFiles }: Jailed) =>
  ({ start }: VmmSuite): void => {
    test("runs as its own user, without groups, capabilities or a way to get any, inside a system call filter", async () => {
      const { spec, process } = await start();
      const status = await readFile(`/proc/${process.pid}/status`, "utf8");
      const field = (name: string): string =>
        new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "missing";
      expect(field("Uid").split("\t")).toEqual(Array(4).fill(String(spec.uid)));
      expect(field("Gid").split("\t")).toEqual(Array(4).fill(String(spec.uid)));
      expect(field("Groups")).toBe("");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(field(set)).toBe(NO_RIGHTS);
      expect(field("CapBnd")).toBe(boundingSet);
      expect(field("NoNewPrivs")).toBe("1");
      expect(field("Seccomp")).toBe("2");
    });

    test("has namespaces of its own, all of them", async () => {
      const { process } = await start();
      for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "uts"]) {
        const own = await readlink(`/proc/${process.pid}/ns/${name}`);
        expect(own, name).not.toBe(await readlink(`/proc/self/ns/${name}`));
      }
    });

    test("leaves no core dump, which would hold the guest's memory, and is bounded in files and their size", async () => {
      const { process } = await start();
      const limits = await readFile(`/proc/${process.pid}/limits`, "utf8");
      const limit = (name: string): string => new RegExp(`^${name} +(\\d+ +\\d+) `, "m").exec(limits)?.[1] ?? "missing";
      expect(limit("Max core file size")).toMatch(/^0 +0$/);
      expect(limit("Max open files").split(/ +/)).toEqual(Array(2).fill(String(openFiles)));
      expect(limit("Max file size").split(/ +/)).toEqual(Array(2).fill(String(MAX_FILE_BYTES)));
    });

    test("goes on at the end of a console that was cut short", async () => {
      const { console } = (await start()).spec.paths;
      const size = async (): Promise<number | undefined> => (await stat(console)).size || undefined;
      await poll(size, { what: "the console", timeoutMs: 60_000, intervalMs: 50 });
      await truncate(console, 0);
      await poll(size, { what: "more console", timeoutMs: 60_000, intervalMs: 50 });
      expect(await readFile(console)).not.toContain(0);
    });
  };

/** Starts one whose own bound of a file's size is taken down before its guest runs. */
export const startWithFilesOf = async ({ backend, newSpec }: VmmSuite, maxFileBytes: number): Promise<MicrovmSpec> => {
  const spec = await newSpec();
  let pid = 0;
  const beforeRun = async (): Promise<void> => {
    const [program = "", ...args] = asUser(spec.uid, ["prlimit", `--pid=${pid}`, `--fsize=${maxFileBytes}`]);
    await run(program, args);
  };
  const onProcess = async (told: { pid: number }): Promise<void> => void (pid = told.pid);
  await backend().start(spec, BOOT, { ...hooks(), onProcess, beforeRun });
  return spec;
};
