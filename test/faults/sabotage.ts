/** What is changed in a microVM before its VMM starts, so that it comes up broken. Travels as JSON (controller.ts). */
import { join } from "node:path";
import { z } from "zod";
import { run } from "../../src/lib/exec.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";

export const sabotage = z.strictObject({
  /** A word that image/saboteur.sh knows; needs the image of that recipe. */
  inGuest: z.string().optional(),
  /** Regular expression and what stands in the `ip=` parameter instead; null: there is no such parameter. */
  ip: z.tuple([z.string(), z.string()]).nullable().optional(),
  memoryMib: z.int().optional(),
  /** More of the kernel's command line. */
  kernelArgs: z.array(z.string()).default([]),
  hasNic: z.boolean().default(true),
  /** A file of the root file system whose inode is wiped. */
  damagedFile: z.string().optional(),
});
export type Sabotage = z.input<typeof sabotage>;

export const sabotagedSpec = async (spec: MicrovmSpec, plan: Sabotage): Promise<MicrovmSpec> => ({
  ...spec,
  memoryMib: plan.memoryMib ?? spec.memoryMib,
  kernelArgs: [
    ...spec.kernelArgs.flatMap((arg) => changedIp(arg, plan.ip)),
    ...guestArgs(plan.inGuest),
    ...(plan.kernelArgs ?? []),
  ],
  image: plan.damagedFile === undefined ? spec.image : await damagedImage(spec, plan.damagedFile),
});

const changedIp = (arg: string, change: Sabotage["ip"]): string[] => {
  if (!arg.startsWith("ip=") || change === undefined) return [arg];
  if (change === null) return [];
  const changed = arg.replace(new RegExp(change[0]), change[1]);
  if (changed === arg) throw new Error(`nothing in ${arg} matches ${change[0]}`);
  return [changed];
};

const guestArgs = (fault: string | undefined): string[] =>
  fault === undefined ? [] : ["init=/usr/local/lib/faults/saboteur", `sallyport.fault=${fault}`];

/** A copy beside the microVM's other files, removed with them. */
const damagedImage = async (spec: MicrovmSpec, file: string): Promise<MicrovmSpec["image"]> => {
  const rootfs = join(spec.paths.root, "damaged.ext4");
  await run("cp", ["--sparse=always", "--reflink=auto", spec.image.rootfs, rootfs], { timeoutMs: 120_000 });
  await run("chmod", ["0644", rootfs]);
  await run("debugfs", ["-w", "-R", `clri ${file}`, rootfs]);
  return { ...spec.image, rootfs };
};

/** QEMU's command line without the network device and its back end. */
export const withoutNic = (args: string[]): string[] => {
  const isNic = (arg: string | undefined): boolean => /^(tap|virtio-net-device),/.test(arg ?? "");
  const left = args.filter((arg, index) => !isNic(arg) && !isNic(args[index + 1]));
  if (left.length !== args.length - 4) throw new Error("the network device was not found on QEMU's command line");
  return left;
};
