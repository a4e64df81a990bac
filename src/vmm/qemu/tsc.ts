/** Frequency of this host's time stamp counter, for guests that can't measure it. */
import { readFile } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/exec.ts";

/** In kHz. Throws AppError `tsc-unknown`. */
export const hostTscKhz = async (): Promise<number> => {
  const log = await kernelLog();
  const khz = tscKhzFrom(log, await readFile("/proc/cpuinfo", "utf8"));
  if (khz !== undefined) return khz;
  throw new AppError("unavailable", "tsc-unknown", "The frequency of this host's processor can't be found out.", {
    hint: "Emulated guests need it. Neither dmesg (tsc: Detected … MHz) nor /proc/cpuinfo (cpu MHz) names it.",
  });
};

/**
 * The kernel's own word on the counter, the refined one where there is one; else the processor's present speed, which on
 * most machines is near it. Pure.
 */
export const tscKhzFrom = (log: string, cpuinfo: string): number | undefined => {
  const match =
    /tsc: Refined TSC clocksource calibration: ([\d.]+) MHz/.exec(log) ??
    [...log.matchAll(/tsc: Detected ([\d.]+) MHz/g)].at(-1) ??
    /^cpu MHz\s*: ([\d.]+)$/m.exec(cpuinfo);
  const mhz = Number(match?.[1]);
  return mhz > 0 ? Math.round(mhz * 1000) : undefined;
};

/** Empty where it is closed to this process, or the program is not there: it is the better of two sources, no more. */
const kernelLog = async (): Promise<string> => {
  try {
    return (await run("dmesg", [])).stdout;
  } catch (error) {
    if (error instanceof AppError) return "";
    throw error;
  }
};
