import { run, type RunOptions, type RunResult } from "../lib/exec.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";

// What programs inside an image see. Offline: systemctl must edit links, not ask for a running systemd.
const GUEST_ENV = {
  PATH: SYSTEM_PATH,
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  DEBIAN_FRONTEND: "noninteractive",
  SYSTEMD_OFFLINE: "1",
};

/**
 * Runs a program that must not outlive this process nor leave a mount behind, even after `kill -9`: it dies with its parent,
 * takes its descendants along (a process namespace of its own), and what it mounts vanishes with its mount namespace.
 * `root`: what it sees as `/`; absent, the host's own. Throws what `run` throws.
 */
export const runContained = (
  file: string,
  args: string[],
  { root, ...options }: RunOptions & { root?: string } = {},
): Promise<RunResult> => {
  const contain = "--pdeathsig KILL unshare --mount --pid --fork --kill-child".split(" ");
  const enter = root === undefined ? [] : ["--root", root, "--wd", "/"];
  const env = root === undefined ? {} : { env: GUEST_ENV };
  return run("setpriv", [...contain, ...enter, "--mount-proc", file, ...args], { ...env, ...options });
};
