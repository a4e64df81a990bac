/** QEMU `microvm`: runs on every host, in hardware virtualisation where a probe proved it, else by emulation. */
import { stat } from "node:fs/promises";
import { openSocket } from "../../lib/open-stream.ts";
import { MIB } from "../../lib/units.ts";
import { orAborted } from "../../lib/wait.ts";
import { MAX_FILE_BYTES } from "../jail.ts";
import { VERSION_MS } from "../program.ts";
import { handleOf } from "../process.ts";
import { closeFrozen } from "../frozen.ts";
import { digestWord, hostGround } from "../ground.ts";
import type { MicrovmSpec, StartHooks, VmmBackend, VmmRecord } from "../vmm.ts";
import { createAcceleratorChoice, type AcceleratorOptions } from "./accelerator.ts";
import { QEMU, qemuArguments, TRANSLATED_CODE_MIB } from "./arguments.ts";
import { qemuChecks } from "./checks.ts";
import { askQemu, freezeQemu } from "./client.ts";
import type { SnapshotInRoom } from "./jail.ts";
import { makeSnapshotFiles } from "./snapshot.ts";
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

/** By what is told of them QEMU is known as this Sallyport's. */
const ANY_MACHINE = { vmId: "", kernelArgs: [], vcpuCount: 0, memoryMib: 0, tap: "", mac: "" };
const ANY_HOST = { kind: "emulation", tscKhz: 0 } as const;

export const createQemuBackend = (options: QemuBackendOptions): VmmBackend => {
  const { versionMs = VERSION_MS } = options;
  const chooseAccelerator = createAcceleratorChoice(options);
  const reopen = (vm: VmmRecord) => ({
    ...handleOf(vm),
    openChannel: openSocket(socketsOf(vm.paths).channel),
    status: (timeoutMs: number) => askQemu(vm.paths, timeoutMs),
  });
  const launch = async (spec: MicrovmSpec, hooks: StartHooks, snapshot?: SnapshotInRoom) => {
    const { accelerator, version } = await orAborted(async () => {
      const chosen = await chooseAccelerator(spec.image.vmlinux);
      return { ...chosen, version: await qemuVersion(versionMs) };
    }, hooks.signal);
    const memory = snapshot === undefined ? "anonymous" : snapshot.isWritten ? "template" : "clone";
    const args = qemuArguments(spec, accelerator, memory);
    const memoryMib = spec.memoryMib + MOST_MIB[accelerator.kind];
    const start = { spec, accelerator, version, memoryMib, ...(snapshot ? { snapshot } : {}) };
    const process = await startQemu(start, options.changeArguments?.(args) ?? args, hooks);
    return { ...reopen({ ...spec, process }), process };
  };
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
    start: (spec, plan, hooks) =>
      plan.kind === "boot" ? launch(spec, hooks) : launch(spec, hooks, { folder: plan.snapshot, isWritten: false }),
    reopen,
    snapshots: {
      ground: async (vmlinux) => {
        const { accelerator } = await chooseAccelerator(vmlinux);
        const program = await stat(QEMU);
        return {
          // No version of its own: the machine is that of the exact build.
          vmm: `qemu ${await qemuVersion(versionMs)}, ${program.size} bytes of ${program.mtime.toISOString()}`,
          told: digestWord(JSON.stringify(qemuArguments(ANY_MACHINE, ANY_HOST, "clone"))),
          accel: accelerator.kind,
          ...(await hostGround()),
        };
      },
      startTemplate: async (spec, folder, hooks) => {
        await makeSnapshotFiles(folder, spec);
        const handle = await launch(spec, hooks, { folder, isWritten: true });
        const freeze = async (signal: AbortSignal): Promise<void> => {
          await freezeQemu(spec.paths, signal);
          await closeFrozen(folder);
        };
        return { ...handle, freeze };
      },
    },
  };
};
