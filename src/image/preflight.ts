import { access, mkdir, statfs } from "node:fs/promises";
import { AppError } from "../lib/errors.ts";

const PROGRAMS = [
  { path: "/usr/bin/mmdebstrap", package: "mmdebstrap" },
  { path: "/usr/sbin/mkfs.ext4", package: "e2fsprogs" },
  { path: "/usr/bin/unshare", package: "util-linux" },
  { path: "/usr/bin/setpriv", package: "util-linux" },
  { path: "/usr/bin/flock", package: "util-linux" },
  { path: "/usr/bin/tar", package: "tar" },
];

// On a host of the other distribution these are no given; without them mmdebstrap cannot check the archive's signature.
const KEYRINGS = {
  debian: { path: "/usr/share/keyrings/debian-archive-keyring.gpg", package: "debian-archive-keyring" },
  ubuntu: { path: "/usr/share/keyrings/ubuntu-archive-keyring.gpg", package: "ubuntu-keyring" },
};

const GIB = 1024 ** 3;

/** Throws AppError `not-root`, `architecture-unsupported`, `program-missing` (what to install) or `disk-full`. */
export const checkHost = async (needs: {
  distribution: keyof typeof KEYRINGS;
  folder: string;
  freeGib: number;
}): Promise<void> => {
  if (process.getuid?.() !== 0) {
    throw new AppError("forbidden", "not-root", "Building an image needs root: the image's files belong to root.", {
      hint: "Run the same command with sudo.",
    });
  }
  if (process.arch !== "x64") {
    throw new AppError(
      "unprocessable",
      "architecture-unsupported",
      `Images are built on x86-64 only, not on ${process.arch}.`,
    );
  }
  await checkPrograms([...PROGRAMS, KEYRINGS[needs.distribution]]);
  await checkSpace(needs.folder, needs.freeGib);
};

const checkPrograms = async (wanted: typeof PROGRAMS): Promise<void> => {
  const missing = new Set<string>();
  for (const { path, package: name } of wanted) await access(path).catch(() => missing.add(name));
  if (missing.size === 0) return;
  const names = [...missing].join(" ");
  throw new AppError(
    "unavailable",
    "program-missing",
    `Building an image needs packages that this host lacks: ${names}.`,
    {
      hint: `Install them: apt-get install ${names}`,
    },
  );
};

const checkSpace = async (folder: string, freeGib: number): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = (bavail * bsize) / GIB;
  if (free >= freeGib) return;
  throw new AppError(
    "unavailable",
    "disk-full",
    `Building an image needs ${freeGib} GiB at ${folder}; ${free.toFixed(1)} GiB are free.`,
    {
      hint: "Free some space, or put the data directory on a larger disk.",
    },
  );
};
