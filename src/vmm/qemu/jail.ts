/** The room that QEMU runs in: what it needs of the host's files, read-only, its sockets, and nothing else. */
import { join } from "node:path";
import { asUser } from "../unprivileged.ts";
import { runFolder } from "../folder.ts";
import { FROZEN_FILES } from "../frozen.ts";
import { IMAGE_FILES, type MicrovmSpec } from "../vmm.ts";

/** Where things are in it. */
export const ROOM = {
  image: { vmlinux: "/image/vmlinux", initrd: "/image/initrd", rootfs: "/image/rootfs" },
  run: "/vm/run",
  snapshot: { memory: "/snapshot/memory", state: "/snapshot/state" },
} as const;

/** A snapshot that is in its room. */
export interface SnapshotInRoom {
  folder: string;
  /** They are made, and not only read. */
  isWritten: boolean;
}

/** Firmware, by Debian's and Ubuntu's packages. */
const FIRMWARE = ["/usr/share/qemu", "/usr/share/seabios"];
const FOLDERS = ["/usr", "/usr/bin", "/usr/share", "/dev", "/dev/net", "/image", "/vm", "/snapshot"];
const DEVICES = ["/dev/null", "/dev/urandom", "/dev/net/tun"];

/**
 * `program`, an absolute path, in a mount view, PID, IPC, UTS and control group namespaces of its own, behind a filter of system calls,
 * as the microVM's user. bubblewrap stays as its parent and answers how it ended.
 */
export const inRoom = (
  spec: MicrovmSpec,
  filterFd: number,
  [program = "", ...args]: string[],
  snapshot?: SnapshotInRoom,
): string[] =>
  [
    ["bwrap", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"],
    // What setpriv needs to become the user for good.
    ["--cap-drop", "ALL", ...["SETUID", "SETGID", "SETPCAP"].flatMap((name) => ["--cap-add", `CAP_${name}`])],
    // Made open: parents that bubblewrap makes by itself are closed to the user.
    FOLDERS.flatMap((folder) => ["--dir", folder]),
    ["--ro-bind", "/usr/lib", "/usr/lib", "--symlink", "usr/lib", "/lib"],
    ["--ro-bind", "/usr/lib64", "/usr/lib64", "--symlink", "usr/lib64", "/lib64"],
    [program, "/usr/bin/setpriv"].flatMap((file) => ["--ro-bind", file, file]),
    FIRMWARE.flatMap((folder) => ["--ro-bind-try", folder, folder]),
    DEVICES.flatMap((device) => ["--dev-bind", device, device]),
    IMAGE_FILES.flatMap((file) => ["--ro-bind", spec.image[file], ROOM.image[file]]),
    ["--bind", runFolder(spec.paths), ROOM.run],
    snapshot === undefined ? [] : snapshotBinds(snapshot),
    ["--remount-ro", "/", "--chdir", "/", "--seccomp", String(filterFd), "--"],
    asUser(spec.uid, [program, ...args]),
  ].flat();

const snapshotBinds = ({ folder, isWritten }: SnapshotInRoom): string[] =>
  FROZEN_FILES.flatMap((file) => [isWritten ? "--bind" : "--ro-bind", join(folder, file), ROOM.snapshot[file]]);
