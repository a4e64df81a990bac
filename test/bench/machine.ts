/** The machine that was measured, in one line. */
import { readFileSync } from "node:fs";
import { availableParallelism, loadavg, release, totalmem } from "node:os";
import { MIB } from "../../src/lib/units.ts";

export const describeMachine = (): string => {
  const model = /^model name\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  const memory = `${Math.round(totalmem() / MIB / 1024)} GiB`;
  const [load = 0] = loadavg();
  const when = new Date().toISOString().slice(0, 10);
  return `Measured ${when} on ${availableParallelism()} × ${model}, ${memory}, Linux ${release()}, Node ${process.versions.node}; load before it began: ${load.toFixed(1)}.`;
};
