/** What lies beside an image's files on disk, and what a name points to. */
import { z } from "zod";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const imageFile = z.strictObject({ digest, bytes: z.int() });

export const imageName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "must be 1-63 of a-z 0-9 . _ -, beginning with a letter or digit");

export const imageManifest = z.strictObject({
  format: z.literal(1),
  /** Over the digests of the three files and of the recipe; also the name of the directory. */
  digest,
  base: z.string(),
  /** ISO 8601. */
  builtAt: z.string(),
  inputs: z.strictObject({
    /** Over all the others: equal inputs are found again instead of built. */
    digest,
    recipe: digest,
    /** Base system, packages and initramfs: what mmdebstrap made. */
    baseSystem: digest,
    guestFiles: digest,
    agent: digest,
  }),
  kernelRelease: z.string(),
  /** Package → version. */
  packages: z.record(z.string(), z.string()),
  files: z.strictObject({ "rootfs.ext4": imageFile, vmlinux: imageFile, initrd: imageFile }),
});
export type ImageManifest = z.infer<typeof imageManifest>;

export const IMAGE_FILES = ["rootfs.ext4", "vmlinux", "initrd"] as const;

export const imagePointer = z.strictObject({ digest });
