/**
 * A controller whose microVMs come up as each one's plan says: `controller.ts CONFIG_FILE PLANS_FOLDER`. A plan is
 * `<address>.json` in that folder, because the address is what a start answers with; a microVM waits for its own.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runController } from "../../src/app.ts";
import { loadConfig } from "../../src/config/config.ts";
import { readEnv } from "../../src/config/env.ts";
import { createImageStore } from "../../src/image/store.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { standardBackends } from "../../src/vmm/backends.ts";
import { createQemuBackend } from "../../src/vmm/qemu/backend.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";
import type { MicrovmSpec, VmmBackend } from "../../src/vmm/vmm.ts";
import { sabotage as sabotageSchema, sabotagedSpec, withoutNic } from "./sabotage.ts";

const [configFile = "", plansFolder = ""] = process.argv.slice(2);
const config = loadConfig(readEnv(), configFile);
const logger = createLogger({ level: config.logLevel });
const paths = dataPaths(config.dataDir);

const sabotageOf = async ({ address }: MicrovmSpec) => {
  const text = await poll(() => readFile(join(plansFolder, `${address}.json`), "utf8").catch(() => undefined), {
    what: `the plan for ${address}`,
    timeoutMs: 60_000,
    intervalMs: 50,
  });
  return sabotageSchema.parse(JSON.parse(text));
};

const probe = { cacheFile: paths.kvmProbe };
const image = await createImageStore(paths).find(config.image);
const chosen = await standardBackends({ ...config, paths, probe, logger }).choose(image?.vmlinux ?? "");
const whole = chosen.backend;
/** By its command line, which only this one has to say it on. */
const nicLess = createQemuBackend({
  accel: config.vm.accel,
  kvm: (vmlinux) => probeKvm({ vmlinux, ...probe }),
  changeArguments: withoutNic,
});
const vmm: VmmBackend = {
  ...whole,
  start: async (spec, plan, hooks) => {
    const sabotage = await sabotageOf(spec);
    return (sabotage.hasNic ? whole : nicLess).start(await sabotagedSpec(spec, sabotage), plan, hooks);
  },
};

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
// What a fault breaks on the host stays broken until it was looked at: the controller would mend it at its next round.
const overrides = { vmm, tidyIntervalMs: 60 * 60_000 };
await runController({ config, logger, signal: stopping.signal, overrides });
