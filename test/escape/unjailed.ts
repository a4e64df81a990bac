/** The same tries without a jail: what they do where nothing refuses them, so that one that cannot fail is noticed. */
import { chown, mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nameOf, partsIn, runTries, type Part } from "./tries.ts";
import { asNobody, plantSetuid, type World } from "./world.ts";

/** Root is bounded by nothing, and does not try: a user shows it. */
export const tryUnjailed = async (world: World, uid: number, who: "user" | "root"): Promise<Part[]> => {
  const folder = join(world.root, `own-${who}`);
  await mkdir(folder);
  await chown(folder, uid, uid);
  await plantSetuid(world, folder);
  const streams = { output: join(world.root, `${who}.log`), errors: join(world.root, `${who}.errors`) };
  for (const file of Object.values(streams)) {
    await writeFile(file, "");
    await chown(file, uid, uid);
  }
  // Of who left one open.
  const left = await open("/", "r");
  try {
    const before = who === "user" ? ["setpriv", ...asNobody(uid)] : [];
    const files = [
      `folder=${folder}`,
      `setuid=${join(folder, "setuid")}`,
      `image=${world.image}`,
      `walk=${world.root}`,
    ];
    const own = [...files, `mine=${world.tap}`];
    const args = [...world.found, ...own, ...(who === "root" ? ["boundless=yes"] : [])];
    const argv = ["prlimit", "--core=unlimited", "--", ...before, world.program, ...args];
    const { end, said } = await runTries(argv, streams, async () => {}, [left.fd]);
    if (end !== 0) throw new Error(`The tries ended with ${end}: ${said.slice(-2_000)}`);
    return partsIn(said);
  } finally {
    await left.close();
  }
};

/** Parts that a kernel may not know at all, which nothing can then refuse. */
const NOT_EVERYWHERE = [
  ...["/dev/mem", "/dev/vhost-net", "/dev/fuse", "/dev/loop-control"].map(
    (name) => `open a device of the host: ${name}`,
  ),
  ...["kexec", "module"].map((name) => `restart or replace the kernel: ${name}`),
  "open a vsock: listen",
  "open a raw, packet or other socket: crypto",
  "use io_uring: setup",
  "use userfaultfd: userfaultfd",
  "call as another architecture: 32 bits",
];

/** Parts that held in every one of these runs, though this host has what they ask for. */
export const alwaysHeld = (runs: readonly Part[][]): string[] => {
  const failed = new Set(
    runs
      .flat()
      .filter(({ held }) => !held)
      .map(nameOf),
  );
  const names = new Set(runs.flat().map(nameOf));
  return [...names].filter((name) => !failed.has(name) && !NOT_EVERYWHERE.includes(name));
};
