/** Whether this machine can run microVMs, and the command that mends what is in the way. Changes nothing. */
import type { Command } from "commander";
import type { CheckLine } from "../../doctor/check.ts";
import type { DoctorReport } from "../../doctor/doctor.ts";
import { AppError } from "../../lib/errors.ts";
import type { CliContext } from "../context.ts";
import { duration } from "../output.ts";

export const addDoctor = (program: Command, context: CliContext): void => {
  program
    .command("doctor")
    .description("check what this machine needs to run microVMs, and how many it can hold")
    .option("--deep", "compute the image's checksums as well, which takes longer than ten seconds")
    .action(async ({ deep = false }: { deep?: boolean }) => {
      const { examine } = await import("../../doctor/doctor.ts");
      const report = await examine({ config: context.config(), path: context.env.path ?? "", isDeep: deep });
      context.out.result(report, () => textOf(report));
      if (!report.ok) context.exitCode = new AppError("unavailable", "not-ready", "").exitCode;
    });
};

const WORDS = { ok: "ok", warning: "warning", problem: "PROBLEM", unchecked: "not checked" } as const;

const textOf = ({ checks, capacity, tookMs }: DoctorReport): string[] => [
  ...checks.flatMap(linesOf),
  "",
  `${tally(checks)}; took ${duration(tookMs)}.`,
  capacity
    ? `Room for ${capacity.microvms} microVMs at once (${capacity.running} running), limited by ${capacity.limitedBy}: ` +
      `memory ${capacity.byMemory}, addresses ${capacity.byAddresses}, disk ${capacity.byDisk}.`
    : "How many microVMs fit could not be found out: see memory and disk.",
];

const linesOf = ({ name, result, text, remedy }: CheckLine): string[] => [
  `${WORDS[result].padEnd(11)}  ${name.padEnd(15)}  ${text}`,
  ...(remedy === undefined ? [] : [`${" ".repeat(30)}→ ${remedy}`]),
];

const tally = (checks: CheckLine[]): string => {
  const count = (result: CheckLine["result"]): number => checks.filter((check) => check.result === result).length;
  const counted = (result: "problem" | "warning"): string =>
    `${count(result)} ${result}${count(result) === 1 ? "" : "s"}`;
  return `${counted("problem")}, ${counted("warning")}, ${count("unchecked")} not checked`;
};
