/**
 * Whether KVM works here, found out by booting a kernel: there are hosts where `/dev/kvm` exists and opens, and every real
 * guest hangs at 100 % system time, or the VMM aborts on a processor register it may not set.
 */
import { mkdir, open, readFile, stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
import { writeFileAtomically } from "../../lib/atomic-file.ts";
import { jsonOf } from "../../lib/json.ts";
import { unlessMissing } from "../../lib/unless-missing.ts";
import { kvmVerdict, type KvmVerdict } from "../kvm.ts";
import { VERSION_MS } from "../program.ts";
import { machineArguments, QEMU } from "./arguments.ts";
import { bootKernel } from "./boot-kernel.ts";
import { qemuVersion } from "./version.ts";

const cached = z.object({ key: z.string(), verdict: kvmVerdict });

export interface KvmProbeOptions {
  /** The image's own kernel, as ELF. Must be readable by everyone: the probe runs as nobody. */
  vmlinux: string;
  /** The verdict is kept here until the host boots again, or QEMU or the kernel changes. */
  cacheFile: string;
  /** Default 120 000: a good KVM needs under one second, one on a host that is emulated itself, and busy, a minute. */
  timeoutMs?: number;
  /** Milliseconds of silence after which its kernel hangs; default 20 000. */
  silentMs?: number;
  /** Milliseconds that QEMU gets to say its version; default `VERSION_MS`. */
  versionMs?: number | undefined;
  /** Default true. False: a verdict that is known is used, a new one is not written down. */
  keepsVerdict?: boolean;
  /** Test seam. */
  device?: string;
}

const KERNEL_ARGUMENTS = "console=ttyS0 reboot=t panic=1";

export const probeKvm = async (options: KvmProbeOptions): Promise<KvmVerdict> => {
  const kvm = await openKvm(options.device);
  // Needs no QEMU to be seen, and may be another in a moment.
  if (!kvm) return { usable: false, reason: "This host offers no /dev/kvm that can be opened.", measuredMs: 0 };
  try {
    return await knownOrMeasured(kvm, options);
  } finally {
    await kvm.close();
  }
};

const knownOrMeasured = async (kvm: FileHandle, options: KvmProbeOptions): Promise<KvmVerdict> => {
  const key = await cacheKey(options);
  const known = await readCache(options.cacheFile);
  if (known?.key === key) return known.verdict;
  const verdict = await measure(kvm, options);
  if (options.keepsVerdict ?? true) {
    await mkdir(dirname(options.cacheFile), { recursive: true });
    writeFileAtomically(options.cacheFile, JSON.stringify({ key, verdict } satisfies z.infer<typeof cached>));
  }
  return verdict;
};

/** Opens `/dev/kvm` for a VMM that is to get it as an open file; undefined where there is none to open. */
export const openKvm = (device = "/dev/kvm"): Promise<FileHandle | undefined> =>
  unlessMissing(open(device, "r+"), undefined, ["ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM"]);

const measure = async (kvm: FileHandle, options: KvmProbeOptions): Promise<KvmVerdict> => {
  const { vmlinux, timeoutMs = 120_000, silentMs = 20_000 } = options;
  const argv = [QEMU, ...machineArguments({ kind: "kvm" }, 256), "-kernel", vmlinux, "-append", KERNEL_ARGUMENTS];
  const { outcome, ms, detail } = await bootKernel({ argv, timeoutMs, silentMs, files: [kvm.fd] });
  const seconds = `${(ms / 1000).toFixed(1)} s`;
  const reason = {
    booted: `A kernel booted in KVM within ${seconds}.`,
    hung: `A kernel started in KVM had not come to its end after ${seconds} and was killed${detail ? `; it last said: ${detail}` : ""}.`,
    ended: `The VMM ended after ${seconds} without booting a kernel in KVM: ${detail || "it left no message"}`,
  }[outcome];
  return { usable: outcome === "booted", reason, measuredMs: ms };
};

const cacheKey = async ({ vmlinux, versionMs = VERSION_MS }: KvmProbeOptions): Promise<string> => {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const { size, mtimeMs } = await stat(vmlinux);
  return [bootId, await qemuVersion(versionMs).catch(toProbe), size, mtimeMs].join(" ");
};

/** Who asks about KVM may have no other use for QEMU, and wonder what it is to him. */
const toProbe = (cause: unknown): never => {
  if (!(cause instanceof AppError)) throw cause;
  const sentence = `To see whether KVM works here, Sallyport boots a kernel with QEMU, whatever runs its microVMs: ${cause.message}`;
  throw new AppError(cause.kind, cause.code, sentence, { ...(cause.hint ? { hint: cause.hint } : {}), cause });
};

/** A cache that can't be understood is no cache: the probe is run again. */
const readCache = async (file: string): Promise<z.infer<typeof cached> | undefined> =>
  cached.safeParse(jsonOf(await unlessMissing(readFile(file, "utf8"), ""))).data;
