/** The room that Firecracker's jailer runs in, which then makes a smaller one of it. */
import { MAX_FILE_BYTES } from "../jail.ts";
import type { MicrovmSpec } from "../vmm.ts";
import { jailFolder, PROGRAM } from "./chroot.ts";
import { CAPABILITIES } from "./ground.ts";
import { IN_CHROOT } from "./requests.ts";
import type { Binaries } from "./version.ts";

/** KVM, a TAP, a disk, a log, and a connection or two of its API and of the guest channel: about 40. */
const MAX_OPEN_FILES = 256;

const JAILER = "/vmm/jailer";

/**
 * The jailer in PID, IPC, UTS and control group namespaces and a mount view of its own, of which it sees both programs and the folder it
 * works in, behind a filter of system calls (number `filterFd` of its open files). bubblewrap stays as its parent and answers how
 * Firecracker ended, which the jailer becomes; no file that it writes may be larger than `maxFileBytes`.
 */
export const inRoom = (
  { vmId, paths, uid }: MicrovmSpec,
  { firecracker, jailer }: Pick<Binaries, "firecracker" | "jailer">,
  filterFd: number,
  maxFileBytes = MAX_FILE_BYTES,
): string[] =>
  [
    // What becomes root's by running a program is these rights at most; bubblewrap's own way to grant them would pass them on.
    [
      "setpriv",
      "--inh-caps=-all",
      `--bounding-set=-all,${Object.keys(CAPABILITIES)
        .map((name) => `+${name}`)
        .join(",")}`,
      "--",
    ],
    ["bwrap", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"],
    ["--ro-bind", firecracker, PROGRAM, "--ro-bind", jailer, JAILER],
    // Where devices may be made.
    ["--dev-bind", jailFolder(paths), jailFolder(paths)],
    ["--remount-ro", "/", "--chdir", "/", "--seccomp", String(filterFd), "--"],
    [JAILER, "--id", vmId, "--exec-file", PROGRAM, "--chroot-base-dir", jailFolder(paths)],
    ["--uid", String(uid), "--gid", String(uid)],
    ["--resource-limit", `no-file=${MAX_OPEN_FILES}`, "--resource-limit", `fsize=${maxFileBytes}`],
    // A guest can make it say things at level Info without end.
    ["--", "--api-sock", IN_CHROOT.apiSocket, "--log-path", IN_CHROOT.log, "--level", "Warning", "--show-level"],
  ].flat();
