/** What the conformance tests of VMM backends share: microVMs to start, and their removal. */
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll } from "vitest";
import { dataPaths } from "../../src/lib/paths.ts";
import { listVmms } from "../../src/vmm/process.ts";
import type {
  FoundVmm,
  MicrovmHandle,
  MicrovmSpec,
  StartHooks,
  VmmBackend,
  VmmRange,
  VmmRecord,
} from "../../src/vmm/vmm.ts";
import { specIn } from "../fixtures/spec.ts";

const TOLD_CHARACTERS = 4_000;

export interface VmmUnderTest {
  backend: VmmBackend;
  /** All of a specification but what the suite makes itself. */
  image: MicrovmSpec["image"];
  /** Where the suite may make a folder; default /tmp. */
  folder?: string;
  /** First of the users that the suite's VMMs run as; the hundred from it on are nobody else's. */
  uidBase: number;
  /** Makes the interface that the VMM opens, in a namespace whose file it answers; and takes both away. */
  makeTap: (tap: string, uid: number) => Promise<string>;
  removeTap: (tap: string) => Promise<void>;
  /** A specification the VMM can't start with. */
  broken: (spec: MicrovmSpec) => MicrovmSpec;
  /** What it then says of the file that is not there. */
  saysBroken: RegExp;
}

export type VmmSuite = ReturnType<typeof createSuite>;

/** To be called in a `describe`. */
export const createSuite = (prepare: () => Promise<VmmUnderTest>) => {
  let under: VmmUnderTest;
  let root: string;
  const specs: MicrovmSpec[] = [];
  let microvms = 0;

  beforeAll(async () => {
    under = await prepare();
    // Open to the VMM's user, as a data directory is.
    root = await mkdtemp(join(under.folder ?? "/tmp", "sp-vmm-"));
    await chmod(root, 0o711);
  });

  afterEach(async ({ task }) => {
    for (const spec of specs.splice(0)) {
      if (task.result?.state === "fail") await tell(spec);
      await handle({ ...spec, process: null }).kill();
      await under.removeTap(spec.tap);
    }
  });

  afterAll(() => rm(root, { recursive: true, force: true }));

  const newSpec = async (given: Partial<MicrovmSpec> = {}): Promise<MicrovmSpec> => {
    const spec = await specIn(root, { image: under.image, uid: under.uidBase + microvms++, ...given });
    specs.push(spec);
    spec.netns = await under.makeTap(spec.tap, spec.uid);
    return spec;
  };

  /** `given`: of its specification. */
  const start = async (given: Partial<MicrovmSpec> = {}) => {
    const spec = await newSpec(given);
    const started = await under.backend.start(spec, BOOT, hooks());
    return { spec, process: started.process, handle: started };
  };

  const handle = (vm: Omit<VmmRecord, "paths">): MicrovmHandle =>
    under.backend.reopen({ ...vm, paths: dataPaths(root).vm(vm.vmId) });

  const range = (cgroup = dataPaths(root).cgroup): VmmRange => ({
    cgroup,
    vms: "/nowhere",
    uids: [under.uidBase, under.uidBase + 100],
  });
  const vms = (): Promise<FoundVmm[]> => listVmms(range());

  return {
    backend: () => under.backend,
    broken: (spec: MicrovmSpec) => under.broken(spec),
    saysBroken: () => under.saysBroken,
    root: () => root,
    newSpec,
    start,
    handle,
    range,
    vms,
  };
};

/** What is lost with the microVM of a test that failed. */
const tell = async ({ vmId, paths }: MicrovmSpec): Promise<void> => {
  for (const file of [paths.vmmLog, paths.console]) {
    const text = await readFile(file, "utf8").catch((error: Error) => error.message);
    console.log(`${vmId}, the end of its ${basename(file)}:\n${text.slice(-TOLD_CHARACTERS)}`);
  }
};

export const BOOT = { kind: "boot" } as const;

/** What a start is handed by somebody who wants to know nothing. */
export const hooks = (): StartHooks => ({
  acquire: async () => {},
  onProcess: async () => {},
  beforeRun: async () => {},
  signal: new AbortController().signal,
});
