/**
 * The controller of a bench's world: the whole product but for the VMM, in the network and mount namespace that it was started in.
 * Argument: `WorldOptions` as JSON. Each line on standard input is answered with one, how long its event loop was blocked since the
 * line before; the end of the input is the end.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { runController } from "../../../src/app.ts";
import { loadConfig } from "../../../src/config/config.ts";
import { readEnv } from "../../../src/config/env.ts";
import type { Image } from "../../../src/image/store.ts";
import { run } from "../../../src/lib/exec.ts";
import { createLogger } from "../../../src/lib/logger.ts";
import { createImageStore } from "../../../src/image/store.ts";
import { dataPaths, packageRoot } from "../../../src/lib/paths.ts";
import { NODE } from "../../fixtures/namespace.ts";
import { createBenchBackend } from "./backend.ts";
import { GUESTS, type Loop, type WorldOptions } from "./options.ts";

const { dataDir, configFile, program }: WorldOptions = JSON.parse(process.argv[2] ?? "");

// Names of network namespaces are this world's own, and go with it.
await run("mkdir", ["-p", "/run/netns"]);
await run("mount", ["-t", "tmpfs", "netns", "/run/netns"]);
await run("ip", ["link", "set", "dev", "lo", "up"]);
await run("ip", ["route", "add", "local", GUESTS.range, "dev", "lo", "table", "local"]);
const guests = spawn(NODE, [join(packageRoot(), "test/bench/world/guests-process.ts"), dataDir], {
  stdio: ["ignore", "pipe", "inherit"],
});
await once(guests.stdout, "data");

const image: Image = {
  name: "default",
  digest: `sha256:${"0".repeat(64)}`,
  base: "debian:trixie",
  builtAt: "2026-01-01T00:00:00.000Z",
  bytes: 0,
  rootfs: "/nowhere/rootfs.ext4",
  vmlinux: "/nowhere/vmlinux",
  initrd: "/nowhere/initrd",
};
const paths = dataPaths(dataDir);
const stopping = new AbortController();
const running = runController({
  config: loadConfig({ ...readEnv(), dataDir: undefined, configFile: undefined }, configFile),
  logger: createLogger({ level: "info" }, createWriteStream(join(dataDir, "controller.log"))),
  signal: stopping.signal,
  overrides: {
    vmm: createBenchBackend({ program, guests: join(dataDir, "guests.sock") }),
    images: { ...createImageStore(paths), find: async () => image, list: async () => [image] },
  },
  onListening: () => console.log(JSON.stringify({ guestsPid: guests.pid })),
});
// It wakes the process a thousand times a second, 3 % of a processor: begun by the first question.
const delay = monitorEventLoopDelay({ resolution: 1 });
createInterface({ input: process.stdin })
  .on("line", () => {
    const loop: Loop = { p50Ms: delay.percentile(50) / 1e6, p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 };
    console.log(JSON.stringify(loop));
    delay.reset();
    delay.enable();
  })
  .on("close", () => stopping.abort());
await running;
guests.kill();
