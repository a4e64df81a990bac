import { mkdir, statfs } from "node:fs/promises";
import { AppError } from "../lib/errors.ts";
import type { Purpose } from "../lib/host-packages.mjs";
import { missingPackages } from "../lib/missing-packages.ts";

const GIB = 1024 ** 3;

/** Throws AppError `not-root`, `architecture-unsupported`, `program-missing` (what to install) or `disk-full`. */
export const checkHost = async (needs: { distribution: "debian" | "ubuntu"; folder: string; freeGib: number }) => {
  if (process.getuid?.() !== 0) {
    throw new AppError("forbidden", "not-root", "Building an image needs root: the image's files belong to root.", {
      hint: "Run the same command with sudo.",
    });
  }
  if (process.arch !== "x64") {
    const sentence = `Images are built on x86-64 only, not on ${process.arch}.`;
    throw new AppError("unprocessable", "architecture-unsupported", sentence);
  }
  checkPackages(needs.distribution);
  await checkSpace(needs.folder, needs.freeGib);
};

const checkPackages = (distribution: Purpose): void => {
  const missing = new Set(missingPackages(["image", distribution]).map((one) => one.package));
  if (missing.size === 0) return;
  const names = [...missing].join(" ");
  const sentence = `Building an image needs packages that this host lacks: ${names}.`;
  throw new AppError("unavailable", "program-missing", sentence, { hint: `Install them: apt-get install ${names}` });
};

const checkSpace = async (folder: string, freeGib: number): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = (bavail * bsize) / GIB;
  if (free >= freeGib) return;
  const sentence = `Building an image needs ${freeGib} GiB at ${folder}; ${free.toFixed(1)} GiB are free.`;
  throw new AppError("unavailable", "disk-full", sentence, {
    hint: "Free some space, or put the data directory on a larger disk.",
  });
};
