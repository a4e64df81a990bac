/** The channel of a real guest on vsock: who of the guest gets no answer on it. That the host does is in the conformance suite. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { poll } from "../../src/lib/wait.ts";
import { createSuite } from "../conformance/vmm-suite.ts";
import { knocking } from "../fixtures/knock.ts";
import { prepareFirecracker } from "./vmm.ts";

/** With the guest's boot. */
const TIMEOUT_MS = 400_000;

const { start } = createSuite(prepareFirecracker);

test(
  "Firefox's user gets no answer on vsock, cannot take the port, and does not reach the agent's socket",
  async () => {
    const { spec } = await start({ kernelArgs: knocking(), vcpuCount: 2, memoryMib: 1024 });
    const told = async () => {
      const found = [...(await readFile(spec.paths.console, "latin1")).matchAll(/: knock (\w+) (\w+): (.*?)\r?$/gm)];
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
