/** Makes a snapshot of a machine: see `Template.freeze`. */
import { chmod, chown, open, rm } from "node:fs/promises";
import { run } from "../../lib/exec.ts";
import type { MicrovmSpec } from "../vmm.ts";
import { withApi } from "./api.ts";
import { inChroot, inSnapshot, linkFile } from "./chroot.ts";
import { closeFrozen, FROZEN_FILES } from "../frozen.ts";
import { FREEZE, PAUSE } from "./requests.ts";

/** For the processors to stand still; measured in an emulated host: milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;
/** For the whole memory to be on the disk; measured in an emulated host: 12 s for 512 MiB. */
const FREEZE_TIMEOUT_MS = 180_000;
/** For it to be read once more. */
const DIG_TIMEOUT_MS = 120_000;

/**
 * The machine is written by the VMM itself, which has no folder to write to: it is lent two files of root's for as long. `version`: the
 * VMM's.
 */
export const freezeFirecracker = async (
  { paths, uid }: Pick<MicrovmSpec, "paths" | "uid">,
  version: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> => {
  const api = { socket: inChroot(paths, "apiSocket"), version, signal };
  const files = FROZEN_FILES.map((name) => ({ file: inSnapshot(folder, name), lent: inChroot(paths, name) }));
  await withApi({ ...api, timeoutMs: PAUSE_TIMEOUT_MS }, (send) => send(PAUSE));
  try {
    for (const { file, lent } of files) {
      await (await open(file, "wx", 0o600)).close();
      await chown(file, 0, uid);
      await chmod(file, 0o620);
      await linkFile(file, lent);
    }
    await withApi({ ...api, timeoutMs: FREEZE_TIMEOUT_MS }, (send) => send(FREEZE));
  } finally {
    for (const { lent } of files) await rm(lent, { force: true });
  }
  // All of the memory was written; most of it is zeros, which then take no space, neither on the disk nor in the page cache of a clone.
  // A file system that has no holes costs space, and nothing else.
  await run("fallocate", ["--dig-holes", inSnapshot(folder, "memory")], { timeoutMs: DIG_TIMEOUT_MS, signal }).catch(
    () => signal.throwIfAborted(),
  );
  await closeFrozen(folder);
};
