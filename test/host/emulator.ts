/**
 * What emulates the test host. QEMU 10.0's nested virtualization is not to be relied on: a guest that exits to its host now and then gets
 * the host's state in place of its own (the instruction after VMRUN and the host's page tables stood in one's VMCB), and hangs, or ends
 * with KVM_EXIT_SHUTDOWN; a busy one did within some minutes, six times of six. 11.1 is in the backports of Debian 13.
 */
import { existsSync } from "node:fs";
import { rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { archiveLines, hostDistribution, usableSources } from "../../src/image/apt-sources.ts";
import { runContained } from "../../src/image/contain.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { compareVersions } from "../../src/lib/versions.mjs";
import { QEMU } from "../../src/vmm/qemu/arguments.ts";
import { qemuVersion } from "../../src/vmm/qemu/version.ts";

const RELIABLE = "11.1";
const SUITE = "trixie";
const VERSION_MS = 5_000;

/** The beginning of its command line: this machine's QEMU, or where that is an older one a newer of Debian's in a folder of its own. */
export const prepareEmulator = async (cacheDir: string, signal?: AbortSignal): Promise<string[]> => {
  if (compareVersions(await qemuVersion(VERSION_MS), RELIABLE) >= 0) return [QEMU];
  const archive = archiveLines({ id: "debian", codename: SUITE }, hostDistribution(), await usableSources());
  const [line] = archive;
  // Debian's archive is known to apt on Debian alone.
  if (line === undefined) return [QEMU];
  const folder = join(dataPaths(cacheDir).imageCache, `emulator-${SUITE}-backports`);
  if (!existsSync(folder)) {
    const made = `${folder}.new`;
    await rm(made, { recursive: true, force: true });
    const args = [
      "--mode=root",
      // Unpacked and not set up: only a program and its libraries are wanted.
      "--variant=extract",
      "--include=qemu-system-x86",
      `--aptopt=APT::Default-Release "${SUITE}-backports"`,
      '--aptopt=APT::Install-Recommends "false"',
      SUITE,
      made,
      "-",
    ];
    const input = [...archive, line.replace(` ${SUITE} `, ` ${SUITE}-backports `)].join("\n");
    await runContained("env", ["LC_ALL=C.UTF-8", "mmdebstrap", ...args], {
      input,
      timeoutMs: 10 * 60_000,
      ...(signal ? { signal } : {}),
    });
    // A package that is set up makes these.
    for (const name of ["lib", "lib64", "bin", "sbin"])
      if (!existsSync(join(made, name))) await symlink(`usr/${name}`, join(made, name));
    await rename(made, folder);
  }
  const paths = ["/run", "/var/tmp", cacheDir].flatMap((path) => ["--bind", path, path]);
  return ["bwrap", "--die-with-parent", "--bind", folder, "/", "--dev", "/dev", "--proc", "/proc", ...paths, QEMU];
};
