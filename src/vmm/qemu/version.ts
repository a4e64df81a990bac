import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/exec.ts";
import { findProgram } from "../../lib/programs.ts";
import { compareVersions } from "../../lib/versions.mjs";
import { askProgram } from "../program.ts";
import { QEMU } from "./arguments.ts";

/** Older ones crash guests under emulation: 7 of 8 boots with QEMU 7.2, none of 7 with 10.0. */
const OLDEST = "8.2";

const INSTALL_HINT =
  "Install qemu-system-x86: on Debian 12 from backports (apt install -t bookworm-backports qemu-system-x86), on Debian 13 and Ubuntu 24.04 as it is.";

/** `a.b.c` of the installed QEMU, which gets `timeoutMs` to say it. Throws AppError `vmm-missing` or `vmm-too-old`. */
export const qemuVersion = async (timeoutMs: number): Promise<string> => {
  if (findProgram(QEMU, "") === undefined) {
    const sentence = `QEMU is not installed on this host: ${QEMU} is not there. No other is taken, for a VMM's jail has the libraries and the firmware of the distribution's packages.`;
    throw new AppError("unavailable", "vmm-missing", sentence, { hint: INSTALL_HINT });
  }
  return checkedVersion((await askProgram(QEMU, INSTALL_HINT, run(QEMU, ["--version"], { timeoutMs }))).stdout);
};

/** The version in the output of `--version`, if it is new enough. Pure. */
export const checkedVersion = (output: string): string => {
  const [, release, patch = "0"] = /version (\d+\.\d+)(?:\.(\d+))?/.exec(output) ?? [];
  if (release === undefined) {
    const sentence = `${QEMU} does not say which version it is.`;
    throw new AppError("unavailable", "vmm-missing", sentence, { hint: INSTALL_HINT });
  }
  const version = `${release}.${patch}`;
  if (compareVersions(version, OLDEST) >= 0) return version;
  const sentence = `QEMU ${version} is too old: guests crash at random in it. ${OLDEST} or newer is needed.`;
  throw new AppError("unavailable", "vmm-too-old", sentence, { hint: INSTALL_HINT });
};
