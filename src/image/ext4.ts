import { run } from "../lib/exec.ts";
import { MIB } from "../lib/units.ts";
import { runContained } from "./contain.ts";
import { uuidOf } from "./digest.ts";

const INODE_BYTES = 256;
/** For directories and maps that the file system needs beyond what `du` saw. */
const SLACK = { ratio: 1.03, bytes: 48 * MIB, inodes: 1024 };

/**
 * Makes an ext4 file system from a tree without mounting anything. No journal and no reserve: a guest only reads it.
 * `seed` is a digest from which UUID and hash seed derive, so that equal inputs do not differ in these.
 */
export const makeExt4 = async (tree: string, image: string, seed: string, signal: AbortSignal): Promise<void> => {
  const [blocks, inodes] = await Promise.all([measure(tree, [], signal), measure(tree, ["--inodes"], signal)]);
  const inodeCount = inodes + SLACK.inodes;
  const bytes = blocks * SLACK.ratio + inodeCount * INODE_BYTES + SLACK.bytes;
  const uuid = uuidOf(seed);
  await runContained(
    "/usr/sbin/mkfs.ext4",
    [
      ...`-q -b 4096 -m 0 -O ^has_journal,^resize_inode -L sallyport -I ${INODE_BYTES} -N ${inodeCount}`.split(" "),
      ...`-U ${uuid} -E hash_seed=${uuid},root_owner=0:0`.split(" "),
      "-d",
      tree,
      image,
      `${Math.ceil(bytes / MIB)}M`,
    ],
    { signal, timeoutMs: 10 * 60_000 },
  );
};

/** `du` in bytes or, with `--inodes`, in inodes. */
const measure = async (tree: string, unit: string[], signal: AbortSignal): Promise<number> => {
  const { stdout } = await run("du", ["--summarize", "--one-file-system", "--block-size=1", ...unit, tree], { signal });
  return Number.parseInt(stdout, 10);
};
