/** QEMU `microvm`: runs on every host, in hardware virtualisation where a probe proved it, else by emulation. */
import { openSocket } from "../../lib/open-stream.ts";
import { MIB } from "../../lib/units.ts";
import { orAborted } from "../../lib/wait.ts";
import { MAX_FILE_BYTES } from "../jail.ts";
import { VERSION_MS } from "../program.ts";
import { handleOf } from "../process.ts";
import type { VmmBackend, VmmRecord } from "../vmm.ts";
import { createAcceleratorChoice, type AcceleratorOptions } from "./accelerator.ts";
import { qemuArguments, TRANSLATED_CODE_MIB } from "./arguments.ts";
import { qemuChecks } from "./checks.ts";
import { askQemu } from "./client.ts";
import { socketsOf } from "./sockets.ts";
import { startQemu } from "./start.ts";
import { qemuVersion } from "./version.ts";

export interface QemuBackendOptions extends AcceleratorOptions {
  /** Milliseconds that QEMU gets to say its version; default `VERSION_MS`. */
  versionMs?: number | undefined;
  /** Test seam: QEMU's command line made of what it would have been. */
  changeArguments?: (args: string[]) => string[];
}

/** Console and log as large as they may get. */
const DISK_MIB = (2 * MAX_FILE_BYTES) / MIB;
/** Measured under emulation, where most of it is translated code; KVM needs less. */
const OVERHEAD_MIB = 384;
/** Beside the guest's memory, at most: translated code (arguments.ts bounds it), QEMU itself, what the kernel holds for it. */
const MOST_MIB = { emulation: TRANSLATED_CODE_MIB + 384, kvm: 384 };

export const createQemuBackend = (options: QemuBackendOptions): VmmBackend => {
  const { versionMs = VERSION_MS } = options;
  const chooseAccelerator = createAcceleratorChoice(options);
  const reopen = (vm: VmmRecord) => ({
    ...handleOf(vm),
    openChannel: openSocket(socketsOf(vm.paths).channel),
    status: (timeoutMs: number) => askQemu(vm.paths, timeoutMs),
  });
  return {
    name: "qemu",
    overheadMib: OVERHEAD_MIB,
    diskMib: DISK_MIB,
    // It has one for all that is wrong, and says in its log what it was.
    exitCodes: {},
    checks: qemuChecks(versionMs),
    suits: async (vmlinux) => {
      const version = await qemuVersion(versionMs);
      const { accelerator, reason } = await chooseAccelerator(vmlinux);
      const how = accelerator.kind === "kvm" ? "in KVM" : "by emulation";
      return { accel: accelerator.kind, why: `QEMU ${version} ${how}. ${reason}` };
    },
    start: async (spec, plan, hooks) => {
      if (plan.kind !== "boot") throw new Error("QEMU starts no clones: it has no snapshots");
      const { accelerator, version } = await orAborted(async () => {
        const chosen = await chooseAccelerator(spec.image.vmlinux);
        return { ...chosen, version: await qemuVersion(versionMs) };
      }, hooks.signal);
      const args = qemuArguments(spec, accelerator);
      const start = { spec, accelerator, version, memoryMib: spec.memoryMib + MOST_MIB[accelerator.kind] };
      const process = await startQemu(start, options.changeArguments?.(args) ?? args, hooks);
      return { ...reopen({ ...spec, process }), process };
    },
    reopen,
  };
};
