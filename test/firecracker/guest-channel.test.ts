/** The channel of a real guest on vsock: who of the guest gets no answer on it. That the host does is in the conformance suite. */
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { createImageStore } from "../../src/image/store.ts";
import { newVmId } from "../../src/lib/id.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { takeAway } from "../../src/network/ip.ts";
import { namespaceFile, namespaceOf } from "../../src/network/namespace.ts";
import { ensureTap } from "../../src/network/tap.ts";
import { createFirecrackerBackend } from "../../src/vmm/firecracker/backend.ts";
import type { MicrovmHandle } from "../../src/vmm/vmm.ts";
import { hooks } from "../conformance/vmm-suite.ts";
import { knocking } from "../fixtures/knock.ts";

const OWNER = "sallyport test";
/** With the guest's boot. */
const TIMEOUT_MS = 400_000;

let root: string;
let tap: string;
let vmm: MicrovmHandle | undefined;
let consoleFile: string;

const backend = createFirecrackerBackend({
  searchPath: process.env.SALLYPORT_TEST_FIRECRACKER ?? "/usr/local/bin",
  kvm: async () => ({ usable: true, reason: "As this suite counts on.", measuredMs: 0 }),
  paths: dataPaths(inject("imageDataDir")),
});

beforeAll(async () => {
  root = await mkdtemp(join(inject("imageDataDir"), "sp-channel-"));
  await chmod(root, 0o711);
  const image = await createImageStore(dataPaths(inject("imageDataDir"))).find("default");
  if (!image) throw new Error('there is no image "default"');
  const vmId = newVmId();
  const paths = dataPaths(root).vm(vmId);
  tap = `sp-${vmId}`;
  const netns = namespaceFile(namespaceOf(tap, OWNER));
  const spec = {
    vmId,
    paths,
    image,
    tap,
    netns,
    mac: "06:00:c0:a8:64:05",
    uid: 54_321,
    vcpuCount: 2,
    memoryMib: 1024,
    address: "192.168.100.5",
  };
  consoleFile = paths.console;
  await mkdir(paths.root, { recursive: true, mode: 0o711 });
  await ensureTap(spec, OWNER);
  vmm = await backend.start({ ...spec, kernelArgs: knocking() }, { kind: "boot" }, hooks());
});

afterAll(async () => {
  await vmm?.kill();
  await takeAway(`netns delete ${namespaceOf(tap, OWNER)}`);
  await rm(root, { recursive: true });
});

test(
  "Firefox's user gets no answer on vsock, cannot take the port, and does not reach the agent's socket",
  async () => {
    const told = async () => {
      const found = [...(await readFile(consoleFile, "latin1")).matchAll(/: knock (\w+) (\w+): (.*?)\r?$/gm)];
      return found.length >= 8 ? found.map(([, ...words]) => words.join(" ")) : undefined;
    };
    const ways = await poll(told, { what: "all knocks", timeoutMs: TIMEOUT_MS, intervalMs: 500 });
    expect(ways).toEqual([
      "before loopback Connection timed out",
      "before own No such device",
      "before port Address already in use",
      "before socket Permission denied",
      // With the loopback, which is root's to load, the first two would be answered: they are tries that can succeed.
      "after loopback IN",
      "after own IN",
      "after port Address already in use",
      "after socket Permission denied",
    ]);
  },
  TIMEOUT_MS + 20_000,
);
