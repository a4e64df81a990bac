/** QEMU `microvm`: runs on every host, in hardware virtualisation where a probe proved it, else by emulation. */
import type { Logger } from "../../lib/logger.ts";
import { killVmm, listVmms, processesOfVmm } from "../process.ts";
import type { VmmBackend } from "../vmm.ts";
import { createAcceleratorChoice } from "./accelerator.ts";
import type { AcceleratorOptions } from "./accelerator.ts";
import { qemuArguments } from "./arguments.ts";
import { connectQemu } from "./client.ts";
import { startQemu } from "./start.ts";
import { qemuVersion } from "./version.ts";

export interface QemuBackendOptions extends AcceleratorOptions {
  /** Kernel of an image to probe KVM with; undefined while no image is built. */
  vmlinux: () => Promise<string | undefined>;
  logger: Logger;
  /** Test seam: QEMU's command line made of what it would have been. */
  changeArguments?: (args: string[]) => string[];
}

export const createQemuBackend = (options: QemuBackendOptions): VmmBackend => {
  const accelerators = createAcceleratorChoice(options, options.logger);
  return {
    name: "qemu",
    version: qemuVersion,
    capabilities: async () => {
      const vmlinux = await options.vmlinux();
      const hasKvm = vmlinux !== undefined && (await accelerators.choose(vmlinux)).kind === "kvm";
      return { canSnapshot: false, hasKvm };
    },
    start: async (spec, onSpawn) => {
      const accelerator = await accelerators.choose(spec.image.vmlinux);
      const version = await qemuVersion();
      const args = qemuArguments(spec, accelerator);
      return startQemu({ spec, accelerator, version }, options.changeArguments?.(args) ?? args, onSpawn);
    },
    connect: connectQemu,
    processes: processesOfVmm,
    kill: killVmm,
    list: listVmms,
  };
};
