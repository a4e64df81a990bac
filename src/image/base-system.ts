/** The lower layer of an image: a distribution with our packages, made by mmdebstrap, kept under the digest of its inputs. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { run } from "../lib/exec.ts";
import { archiveLines, componentsOf, hostDistribution, usableSources } from "./apt-sources.ts";
import { runContained } from "./contain.ts";
import { digestOfValue } from "./digest.ts";
import { packGuestFiles } from "./guest-archive.ts";
import { filesDigest } from "./guest-files.ts";
import type { GuestFile, ResolvedRecipe } from "./recipe.ts";

export type BaseSystem = ReturnType<typeof baseSystemOf>;

const LAYER_FORMAT = 1;

const PACKAGES = [
  "systemd systemd-sysv udev dbus kmod iproute2 ca-certificates initramfs-tools zstd",
  "nodejs tigervnc-standalone-server openbox xauth fonts-dejavu-core",
].flatMap((names) => names.split(" "));

// Ubuntu's firefox is a snap, which runs nowhere without snapd: there the recipe brings /usr/bin/firefox-esr. Ubuntu is untested.
const DISTRIBUTION_PACKAGES = {
  debian: ["linux-image-cloud-amd64", "firefox-esr"],
  ubuntu: ["linux-image-virtual"],
};

// Never read in a guest, together 300 MB. The renderers belong to a GPU that no microVM has; Firefox and Xvnc do without.
const UNWANTED_FILES = [
  "/usr/share/man/* /usr/share/doc/* /usr/share/locale/*",
  "/usr/lib/*/libLLVM* /usr/lib/*/libgallium* /usr/lib/*/libz3.so*",
].flatMap((patterns) => patterns.split(" "));

const TIMEOUT_MS = 30 * 60_000;

/** The layer that a recipe needs. */
export const baseSystemOf = (recipe: ResolvedRecipe, initramfs: GuestFile[]) => ({
  distribution: recipe.distribution,
  suite: recipe.suite,
  packages: [...new Set([...PACKAGES, ...DISTRIBUTION_PACKAGES[recipe.distribution], ...recipe.packages])].sort(),
  initramfs,
});

/** The mirror is left out: wherever it comes from, the archive's signature says that it is the same. */
export const baseSystemDigest = ({ initramfs, ...base }: BaseSystem): string =>
  digestOfValue({ ...base, format: LAYER_FORMAT, unwanted: UNWANTED_FILES, initramfs: filesDigest(initramfs) });

/**
 * Makes the tree at `tree`, which must not exist; `workDir` takes files needed meanwhile.
 * Throws AppError `unknown-package`, `archive-unreachable` or `base-system-failed`, with mmdebstrap's last words.
 */
export const makeBaseSystem = async (
  base: BaseSystem,
  options: { tree: string; workDir: string; mirror?: string; signal: AbortSignal; report: (message: string) => void },
): Promise<void> => {
  const { tree, workDir, signal } = options;
  const initramfs = join(workDir, "initramfs.tar");
  await packGuestFiles(base.initramfs, initramfs, signal);
  const aptSettings = join(workDir, "apt.conf");
  await writeFile(aptSettings, await hostAptSettings(signal));

  const tail: string[] = [];
  const follow = followPackages(options.report);
  const onLine = (line: string): void => {
    follow(line);
    if (/^(E:|Err:|dpkg: error)/.test(line) && !/mmdebstrap failed|Status-Fd/.test(line)) tail.push(line);
  };
  const archive = options.mirror ? [] : await hostArchive(base);
  const args = [
    "--verbose",
    "--mode=root",
    "--variant=minbase",
    "--format=directory",
    `--components=${componentsOf(base.distribution).replaceAll(" ", ",")}`,
    `--include=${base.packages.join(",")}`,
    `--aptopt=${aptSettings}`,
    "--dpkgopt=force-unsafe-io",
    ...UNWANTED_FILES.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    // Before the kernel is installed, because that makes the initrd.
    `--essential-hook=tar-in ${shellWord(initramfs)} /`,
    base.suite,
    tree,
    // Not as arguments, which every user can read: an archive's address may hold a password.
    ...(options.mirror ? [options.mirror] : archive.length > 0 ? ["-"] : []),
  ];
  try {
    const how = { signal, onLine, timeoutMs: TIMEOUT_MS, input: archive.join("\n") };
    await runContained("env", ["LC_ALL=C.UTF-8", "mmdebstrap", ...args], how);
  } catch (cause) {
    if (signal.aborted || !(cause instanceof AppError)) throw cause;
    throw explainFailure(`${base.distribution} ${base.suite}`, tail.slice(-6).join("\n") || cause.message, cause);
  }
};

const hostArchive = async ({ distribution, suite }: BaseSystem): Promise<string[]> =>
  archiveLines({ id: distribution, codename: suite }, hostDistribution(), await usableSources());

/** How this host's apt reaches archives: proxies, retries, checks. mmdebstrap itself does not read the host's apt settings. */
const hostAptSettings = async (signal: AbortSignal): Promise<string> => {
  const { stdout } = await run("apt-config", ["dump", "Acquire"], { signal });
  return stdout
    .split("\n")
    .filter((line) => /^Acquire::(https?|ftp|Check-[\w-]+|Retries|ForceIPv\d)(::[\w:./-]+)? "/i.test(line))
    .join("\n");
};

/** Counts packages in the lines that apt and dpkg print. */
export const followPackages = (report: (message: string) => void): ((line: string) => void) => {
  let total = 0;
  const seen = { Get: 0, Unpacking: 0, "Setting up": 0 };
  const verbs = { Get: "downloaded", Unpacking: "unpacked", "Setting up": "set up" };
  return (line) => {
    total += Number(/, (\d+) newly installed/.exec(line)?.[1] ?? 0);
    const word = /^(Get|Unpacking|Setting up)[: ]/.exec(line)?.[1] as keyof typeof seen | undefined;
    if (!word) return;
    seen[word] += 1;
    if (total > 0) report(`${Math.min(seen[word], total)} of ${total} packages ${verbs[word]}`);
  };
};

/** mmdebstrap splits hooks into words as a shell does. */
export const shellWord = (text: string): string => text.replaceAll(/[^\w./-]/g, "\\$&");

/** What mmdebstrap's last words mean to whoever runs the build. `name` is the base system's. */
export const explainFailure = (name: string, words: string, cause: unknown): AppError => {
  const missing = [...words.matchAll(/Unable to locate package (\S+)/g)].map((match) => match[1]);
  if (missing.length > 0) {
    return new AppError("invalid", "unknown-package", `${name} has no package ${missing.join(", ")}.`, {
      cause,
      hint: "Correct `packages` in the recipe, or choose another `base`.",
    });
  }
  if (/resolve|connect|fetch|timed out|timeout|release file/i.test(words)) {
    return new AppError("unavailable", "archive-unreachable", `The archive of ${name} could not be read:\n${words}`, {
      cause,
      hint: "Check that `apt-get update` works on this host, or name another archive with --mirror.",
    });
  }
  return new AppError("internal", "base-system-failed", `mmdebstrap could not make ${name}:\n${words}`, {
    cause,
    hint: "The lines above are mmdebstrap's own. Packages from the recipe are the likeliest reason.",
  });
};
