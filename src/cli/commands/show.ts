import type { Command } from "commander";
import type { SessionView } from "../../contract/api.ts";
import type { CliContext } from "../context.ts";
import { duration } from "../output.ts";

export const addShow = (program: Command, context: CliContext): void => {
  program
    .command("show <session>")
    .description("show one session: state, boot stages with times, verdict")
    .action(async (sessionId: string) => {
      const session = await context.client().session(sessionId);
      context.out.result(session, () => describe(session));
    });
};

const describe = (session: SessionView): string[] => [
  ...Object.entries({
    session: session.sessionId,
    provider: session.provider,
    user: session.userId,
    state: session.state,
    address: session.browserIP ?? "none",
    microVM: session.vmId ?? "none",
    viewer: session.hasViewer ? "connected" : "not connected",
    credential: session.credential,
    created: session.createdAt,
    expires: session.expiresAt,
  }).map(([name, value]) => `${name.padEnd(12)}${value}`),
  ...(session.stages.length > 0 ? ["", "boot stages"] : []),
  ...session.stages.map(({ stage, startedAt, endedAt, source }) => {
    const took = endedAt ? duration(Date.parse(endedAt) - Date.parse(startedAt)) : "not passed";
    return `  ${stage.padEnd(12)}${took.padEnd(12)}${source}`;
  }),
  ...verdictLines(session),
];

const verdictLines = ({ verdict }: SessionView): string[] =>
  verdict
    ? [
        "",
        `${verdict.code}: ${verdict.sentence}`,
        ...verdict.evidence.map((line) => `    ${line}`),
        `What to do: ${verdict.hint}`,
      ]
    : [];
