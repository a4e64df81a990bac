/** What runs the machines: QEMU, KVM, and whether Firecracker is there. */
import { findProgram } from "../lib/programs.ts";
import { run } from "../lib/exec.ts";
import { openKvm, probeKvm } from "../vmm/qemu/kvm-probe.ts";
import { qemuVersion } from "../vmm/qemu/version.ts";
import { ok, problem, warning, type Answer, type Check } from "./check.ts";

export const qemu: Check = {
  name: "qemu",
  deadlineMs: 6_000,
  look: async () => ok(`QEMU ${await qemuVersion()}`),
};

export const firecracker: Check = {
  name: "firecracker",
  look: async ({ path }) => {
    const file = findProgram("firecracker", path);
    if (file === undefined) return ok("Not installed, and not needed: QEMU runs the microVMs.");
    const { stdout } = await run(file, ["--version"], { timeoutMs: 3_000 });
    return ok(`${stdout.split("\n")[0]?.trim() ?? file}; not used: QEMU runs the microVMs.`);
  },
};

/** A good KVM needs under a second; the rest of the ten seconds is for a busy host. */
const PROBE_TIMEOUT_MS = 7_000;

export const kvm: Check = {
  name: "kvm",
  needsRoot: true,
  deadlineMs: 9_000,
  look: async ({ config, images, paths }) => {
    const { accel } = config.vm;
    if (accel === "emulation") return ok("Left out by the configuration (vm.accel: emulation).");
    const vmlinux = (await images.find(config.image))?.vmlinux;
    const device = await openKvm();
    await device?.close();
    if (!device) return unusable(accel, "There is no /dev/kvm that can be opened.");
    if (vmlinux === undefined) {
      return {
        result: "unchecked",
        text: "/dev/kvm is there; whether it works is found out by booting an image's kernel, and there is no image.",
        remedy: "sallyport image build",
      };
    }
    const verdict = await probeKvm({
      vmlinux,
      cacheFile: paths.kvmProbe,
      timeoutMs: PROBE_TIMEOUT_MS,
      keepsVerdict: false,
    });
    return verdict.usable ? ok(verdict.reason) : unusable(accel, verdict.reason);
  },
};

const unusable = (accel: "auto" | "kvm", reason: string): Answer => {
  const remedy = "use a machine with hardware virtualisation: bare metal, or nested virtualisation switched on";
  return accel === "kvm"
    ? problem(`${reason} The configuration insists on KVM.`, `set vm.accel: auto, or ${remedy}`)
    : warning(`${reason} Guests are emulated: a boot takes most of a minute.`, remedy);
};
