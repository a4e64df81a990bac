/** The upper layer of an image: a base system becomes this recipe's guest. What runs here are the guest's own programs. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "../lib/errors.ts";
import { run } from "../lib/exec.ts";
import { runContained } from "./contain.ts";
import { layGuestFiles } from "./guest-archive.ts";
import type { GuestFile, ResolvedRecipe } from "./recipe.ts";

interface TreeOptions {
  tree: string;
  signal: AbortSignal;
}

// Written to in place by many a program; the rest of the tree is only ever replaced file by file.
const WRITTEN_IN_PLACE = ["etc", "var"];

const COMMAND_TIMEOUT_MS = 15 * 60_000;

/**
 * Copies a layer, of which nothing may change. Files share their inodes with the layer where that is safe; `isOwnCopy` asks
 * for none at all, for a recipe's commands, which may write into any file in place.
 */
export const copyLayer = async (layer: string, isOwnCopy: boolean, { tree, signal }: TreeOptions): Promise<void> => {
  const copy = (how: string, from: string, to: string) =>
    run("cp", ["--archive", how, from, to], { signal, timeoutMs: 10 * 60_000 });
  await copy(isOwnCopy ? "--reflink=auto" : "--link", layer, tree);
  for (const name of isOwnCopy ? [] : WRITTEN_IN_PLACE) {
    await rm(join(tree, name), { recursive: true });
    await copy("--reflink=auto", join(layer, name), join(tree, name));
  }
};

/** Files, users, certificates, and which units run. */
export const layGuest = async (files: GuestFile[], options: TreeOptions): Promise<void> => {
  const inTree = programsIn(options);
  await layGuestFiles(files, options.tree, options.signal);
  await inTree("systemd-sysusers");
  await inTree("update-ca-certificates");
  // Presets take nothing away that a package enabled by links of its own, so those links go first.
  await inTree("find", "/etc/systemd/system", "-type", "l", "-delete");
  await inTree("systemctl", "--root=/", "preset-all");
  await inTree("systemctl", "--root=/", "mask", ...MASKED_UNITS);
};

// What presets do not keep away, because something else pulls it in; together it costs seconds of each emulated boot.
const MASKED_UNITS = [
  // Nobody logs in.
  "getty.target getty@.service serial-getty@.service systemd-logind.service systemd-user-sessions.service",
  // Readiness is the agent's answer; leases are the host's business.
  "systemd-networkd-wait-online.service systemd-networkd-persistent-storage.service",
  // File systems that nothing in the guest uses.
  "dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount",
  "proc-sys-fs-binfmt_misc.automount systemd-binfmt.service",
  // A seed from a read-only disk is the same for all; the host gives each guest fresh bytes.
  "systemd-random-seed.service",
].flatMap((names) => names.split(" "));

/** The recipe's commands, which have the last word. Throws AppError `recipe-command-failed` with the command's last words. */
export const runRecipeCommands = async (
  recipe: ResolvedRecipe,
  { tree, signal, report }: TreeOptions & { report: (message: string) => void },
): Promise<void> => {
  for (const [index, [file, ...args]] of recipe.commands.entries()) {
    if (file === undefined) continue;
    report(`command ${index + 1} of ${recipe.commands.length}: ${file}`);
    try {
      await runContained(file, args, { root: tree, signal, timeoutMs: COMMAND_TIMEOUT_MS });
    } catch (cause) {
      if (signal.aborted) throw cause;
      const sentence = `The recipe's command ${index + 1} (${[file, ...args].join(" ")}) failed. ${messageOf(cause)}`;
      throw new AppError("unprocessable", "recipe-command-failed", sentence, {
        cause,
        hint: "Commands run in the image as root, without a shell and without a running system.",
      });
    }
  }
};

/** Package → version, as the guest's own dpkg has it. */
export const installedPackages = async (options: TreeOptions): Promise<Record<string, string>> => {
  const { stdout } = await programsIn(options)("dpkg-query", "--show", "--showformat=${binary:Package}\t${Version}\n");
  const lines = stdout.trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split("\t") as [string, string]));
};

/** Kernel and initrd lie outside the root file system. Throws AppError `no-kernel`. */
export const findKernel = async (tree: string) => {
  const boot = join(tree, "boot");
  const releases = (await readdir(boot)).flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? []);
  const release = releases.sort().at(-1);
  if (release === undefined) {
    throw new AppError("unprocessable", "no-kernel", "The base system has no kernel in /boot.", {
      hint: "Leave /boot alone in the recipe's files and commands.",
    });
  }
  return { release, bzImage: join(boot, `vmlinuz-${release}`), initrd: join(boot, `initrd.img-${release}`) };
};

/** Takes out what is the host's, what is one machine's own, and what is not needed once the kernel lies outside. */
export const scrubTree = async (options: TreeOptions): Promise<void> => {
  const inTree = programsIn(options);
  await inTree("find", "/boot", "/var/log", "/var/cache/apt", "-type", "f", "-delete");
  await inTree("find", "/etc", "-path", "/etc/ssh/ssh_host_*", "-delete");
  await inTree("rm", "-rf", ...SCRUBBED);
  await mkdir(join(options.tree, "boot"), { recursive: true });
  // Empty, not missing: a missing machine-id would make systemd take each boot for the first one. The agent fills resolv.conf.
  for (const path of ["/etc/machine-id", "/etc/resolv.conf"]) await inTree("install", "--mode=0644", "/dev/null", path);
  // Last: it records that everything derived from /usr is up to date, which each boot would otherwise do anew.
  await inTree("/usr/lib/systemd/systemd-update-done");
};

const SCRUBBED = [
  "/vmlinuz /vmlinuz.old /initrd.img /initrd.img.old",
  "/etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d/99mmdebstrap /var/lib/apt/lists",
  "/var/lib/systemd/random-seed /var/lib/dbus/machine-id",
].flatMap((paths) => paths.split(" "));

const programsIn =
  ({ tree, signal }: TreeOptions) =>
  (file: string, ...args: string[]) =>
    runContained(file, args, { root: tree, signal, timeoutMs: 2 * 60_000 });
