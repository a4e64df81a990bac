/** What `doctor` says of QEMU and KVM on this host. */
import type { VmmCheck } from "../vmm.ts";
import type { AcceleratorOptions } from "./accelerator.ts";
import { openKvm, probeKvm } from "./kvm-probe.ts";
import { qemuVersion } from "./version.ts";

/** A good KVM needs under a second; the rest of the ten seconds that doctor has is for a busy host. */
const PROBE_TIMEOUT_MS = 7_000;

type Answer = Awaited<ReturnType<VmmCheck["look"]>>;

type Options = AcceleratorOptions & { vmlinux: () => Promise<string | undefined> };

export const qemuChecks = (options: Options): readonly VmmCheck[] => [
  { name: "qemu", deadlineMs: 6_000, look: async () => ({ result: "ok", text: `QEMU ${await qemuVersion()}` }) },
  { name: "kvm", needsRoot: true, deadlineMs: 9_000, look: () => lookAtKvm(options) },
];

const lookAtKvm = async ({ accel, probeCache, vmlinux }: Options): Promise<Answer> => {
  if (accel === "emulation") return { result: "ok", text: "Left out by the configuration (vm.accel: emulation)." };
  const kernel = await vmlinux();
  const device = await openKvm();
  await device?.close();
  if (!device) return unusable(accel, "There is no /dev/kvm that can be opened.");
  if (kernel === undefined) {
    return {
      result: "unchecked",
      text: "/dev/kvm is there; whether it works is found out by booting an image's kernel, and there is no image.",
      remedy: "sallyport image build",
    };
  }
  const probe = { vmlinux: kernel, cacheFile: probeCache, timeoutMs: PROBE_TIMEOUT_MS, keepsVerdict: false };
  const verdict = await probeKvm(probe);
  return verdict.usable ? { result: "ok", text: verdict.reason } : unusable(accel, verdict.reason);
};

const unusable = (accel: "auto" | "kvm", reason: string): Answer => {
  const remedy = "use a machine with hardware virtualisation: bare metal, or nested virtualisation switched on";
  if (accel === "auto") {
    return { result: "warning", text: `${reason} Guests are emulated: a boot takes most of a minute.`, remedy };
  }
  const text = `${reason} The configuration insists on KVM.`;
  return { result: "problem", text, remedy: `set vm.accel: auto, or ${remedy}` };
};
