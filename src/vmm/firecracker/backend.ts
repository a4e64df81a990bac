/** Firecracker, in its own jailer: where KVM works and both programs are there. */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CHANNEL_VSOCK_PORT } from "../../contract/guest.ts";
import type { DataPaths } from "../../lib/paths.ts";
import { MIB } from "../../lib/units.ts";
import { orAborted } from "../../lib/wait.ts";
import { digestWord, hostGround } from "../ground.ts";
import { MAX_FILE_BYTES, maxTemplateFileBytes } from "../jail.ts";
import { kvmUnusable, type KvmProof } from "../kvm.ts";
import { handleOf } from "../process.ts";
import type { MicrovmSpec, StartHooks, StartPlan, VmmBackend, VmmRecord } from "../vmm.ts";
import { openVsock } from "./channel.ts";
import { inChroot, leftOfChroot } from "./chroot.ts";
import { EXIT_CODES } from "./exit.ts";
import { freezeFirecracker } from "./freeze.ts";
import { requireGround } from "./ground.ts";
import { configuration } from "./requests.ts";
import { askFirecracker, startFirecracker } from "./start.ts";
import { findBinaries, untried, type Binaries, type BinaryOptions } from "./version.ts";

/** Its makers promise 5 MiB; the rest is the kernel's for it: page tables, TAP, sockets. */
const OVERHEAD_MIB = 64;
/** Beside the guest's memory, at most: also the copy of kernel and initrd that it reads, and the jailer's of the program. */
const MOST_MIB = 192;
/** Console and log as large as they may get, and the copy of the program, which is there until its guest runs. */
const DISK_MIB = (2 * MAX_FILE_BYTES) / MIB + 8;

export interface FirecrackerBackendOptions extends BinaryOptions {
  kvm: KvmProof;
  /** Where images are, and where microVMs get their folders. */
  paths: Pick<DataPaths, "images" | "vms">;
}

export const createFirecrackerBackend = (options: FirecrackerBackendOptions): VmmBackend => {
  const reopen = (vm: VmmRecord) => {
    const common = handleOf(vm);
    return {
      ...common,
      openChannel: openVsock(inChroot(vm.paths, "vsockSocket"), CHANNEL_VSOCK_PORT),
      status: (timeoutMs: number) => askFirecracker(vm.paths, timeoutMs),
      left: async () => [...(await common.left()), ...(await leftOfChroot(vm))],
    };
  };
  const start = async (spec: MicrovmSpec, plan: StartPlan, hooks: StartHooks, maxFileBytes = MAX_FILE_BYTES) => {
    const binaries = await orAborted(async () => {
      const found = await findBinaries(options);
      await requireGround(dirname(spec.image.vmlinux), spec.paths.root);
      return found;
    }, hooks.signal);
    const bounds = { memoryMib: spec.memoryMib + MOST_MIB, maxFileBytes };
    const process = await startFirecracker({ spec, plan, binaries, ...bounds }, hooks);
    return { handle: { ...reopen({ ...spec, process }), process }, version: binaries.version };
  };
  return {
    name: "firecracker",
    overheadMib: OVERHEAD_MIB,
    diskMib: DISK_MIB,
    exitCodes: EXIT_CODES,
    checks: [
      {
        name: "firecracker",
        look: async () => {
          const { firecracker, jailer, version } = await findBinaries(options);
          await requireGround(options.paths.images, options.paths.vms);
          const text = `Firecracker ${version} (${firecracker}) and its jailer (${jailer})`;
          const news = untried(version);
          if (news === "") return { result: "ok", text };
          return { result: "warning", text: `${text}.${news}`, remedy: "try a sign-in before others do" };
        },
      },
    ],
    suits: async (vmlinux) => {
      const { version } = await findBinaries(options);
      await requireGround(dirname(vmlinux), options.paths.vms);
      const verdict = await options.kvm(vmlinux);
      if (!verdict.usable) throw kvmUnusable(verdict);
      return { accel: "kvm", why: `Firecracker ${version} in KVM.${untried(version)} ${verdict.reason}` };
    },
    start: async (spec, plan, hooks) => (await start(spec, plan, hooks)).handle,
    reopen,
    snapshots: {
      ground: async () => groundOf(await findBinaries(options)),
      startTemplate: async (spec, folder, hooks) => {
        const maxFileBytes = maxTemplateFileBytes(spec.memoryMib);
        const { handle, version } = await start(spec, { kind: "boot" }, hooks, maxFileBytes);
        return { ...handle, freeze: (signal) => freezeFirecracker(spec, version, folder, signal) };
      },
    },
  };
};

/** See `Snapshots.ground`. What any machine was told is in a snapshot, too, as this Sallyport tells it. */
const groundOf = async ({ firecracker, version }: Binaries): Promise<Record<string, string>> => {
  const anyMachine = { kernelArgs: [], vcpuCount: 0, memoryMib: 0, tap: "", mac: "" };
  return {
    vmm: `Firecracker ${version}`,
    program: digestWord(await readFile(firecracker)),
    told: digestWord(JSON.stringify(configuration(anyMachine, version))),
    accel: "kvm",
    ...(await hostGround()),
  };
};
