/** What lies beside a warm snapshot's files on disk. */
import { z } from "zod";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** All that decides whether a frozen machine can be restored. */
export const snapshotInputs = z.strictObject({
  imageDigest: digest,
  /** As words by name: the VMM's build, how instructions run, the processor, the host's kernel (`Snapshots.ground` of src/vmm/vmm.ts). */
  ground: z.record(z.string(), z.string()),
  /** That the image's agent speaks (GUEST_PROTOCOL of guest.ts): a clone is not asked for it. */
  protocol: z.int(),
  machine: z.strictObject({ vcpuCount: z.int(), memoryMib: z.int() }),
});
export type SnapshotInputs = z.infer<typeof snapshotInputs>;

export const snapshotManifest = z.strictObject({
  format: z.literal(1),
  /** Over `inputs`; also the name of the directory. */
  key: digest,
  inputs: snapshotInputs,
  /** ISO 8601: when its machine was frozen. */
  madeAt: z.string(),
  /** Milliseconds that its machine took to a painted Firefox, cold. */
  coldMs: z.number(),
  /** Of the machine's folder, by name. */
  files: z.record(z.string().regex(/^[\w.-]{1,64}$/), z.strictObject({ digest, bytes: z.int() })),
});
export type SnapshotManifest = z.infer<typeof snapshotManifest>;
