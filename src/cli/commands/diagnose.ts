import type { Command } from "commander";
import type { DiagnosisResponse } from "../../contract/api.ts";
import type { Verdict } from "../../contract/session.ts";
import type { Client } from "../../client/client.ts";
import type { CliContext } from "../context.ts";
import { duration } from "../output.ts";

/** Of this command alone: it did what was asked, and what it found is not in order (docs/CLI.md). */
const EXIT_PROBLEM = 8;

export const addDiagnose = (program: Command, context: CliContext): void => {
  program
    .command("diagnose <session-or-vm>")
    .description("say what keeps a session's microVM from working, or that nothing does, with the proof")
    .action(async (name: string) => {
      const client = context.client();
      const answer = await client.diagnosis(await sessionIdOf(client, name));
      context.out.result(answer, () => textOf(answer));
      if (answer.diagnosis?.isProblem ?? answer.verdict !== null) context.exitCode = EXIT_PROBLEM;
    });
};

/** Sessions are named by everybody, microVMs by operators, who see them in `ls --vms`. */
const sessionIdOf = async (client: Client, name: string): Promise<string> => {
  if (name.startsWith("ses_")) return name;
  const vm = (await client.vms()).find(({ vmId }) => vmId === name);
  return vm?.sessionId ?? name;
};

const textOf = ({ diagnosis, verdict }: DiagnosisResponse): string[] => {
  if (diagnosis) {
    const { cause, consequences, ruledOut, isProblem: isWrong, tookMs } = diagnosis;
    return [
      ...findingLines({ ...cause, consequences, ruledOut: isWrong ? ruledOut : [] }),
      `Looked at as it is now, in ${duration(tookMs)}.`,
    ];
  }
  if (verdict) return [...findingLines(verdict), `Found when it failed, ${verdict.at}.`];
  return ["The session has no microVM any more, and it did not fail."];
};

type Finding = Omit<Verdict, "stage" | "at">;

const findingLines = ({ code, sentence, hint, evidence, anchor, consequences, ruledOut }: Finding): string[] => [
  `${code}: ${sentence}`,
  ...evidence.map((line) => `    ${line}`),
  ...(consequences.length > 0 ? ["Found as well, most of it because of that:"] : []),
  ...consequences.map((one) => `    ${one.code}: ${one.sentence}`),
  ...(ruledOut.length > 0 ? ["In order:"] : []),
  ...ruledOut.map((line) => `    ${line}`),
  `What to do: ${hint}`,
  ...(anchor === null ? [] : [`More: ${anchor}`]),
];
