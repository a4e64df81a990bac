import type { Command } from "commander";
import type { SessionView } from "../../contract/api.ts";
import type { Warning } from "../../contract/session.ts";
import type { CliContext } from "../context.ts";
import { duration } from "../output.ts";
import { drawTimeline, timelineOf, type DrawOptions } from "../timeline.ts";

export const addShow = (program: Command, context: CliContext): void => {
  program
    .command("show <session>")
    .description("show one session: state, stages with times, verdict")
    .action(async (sessionId: string) => {
      const session = await context.client().session(sessionId);
      const { isTTY = false, columns = 80 } = context.stdout;
      // Wider than this, bars say no more.
      const width = Math.min(isTTY ? columns : 80, 120);
      context.out.result(session, () => describe(session, bootLines(session, { width, canDraw: isTTY })));
    });
};

const bootLines = (session: SessionView, options: DrawOptions): string[] => {
  const rows = timelineOf(session, Date.now());
  const last = rows.at(-1);
  if (!last) return [];
  return ["", `boot: ${duration(last.endMs)}${BOOT_ENDINGS[last.outcome]}`, ...drawTimeline(rows, options)];
};

const BOOT_ENDINGS = { passed: "", running: " so far", missed: ", and not passed" } as const;

const describe = (session: SessionView, boot: string[]): string[] => [
  ...Object.entries({
    session: session.sessionId,
    provider: session.provider,
    user: session.userId,
    state: session.outcome === null ? session.state : `${session.state} (${OUTCOMES[session.outcome]})`,
    address: session.browserIP ?? "none",
    microVM: session.vmId ?? "none",
    ...(session.vm && {
      "runs on": [session.vm.backend, session.vm.accel && IN[session.vm.accel]].filter(Boolean).join(" "),
    }),
    ...(session.vm?.why && { why: session.vm.why }),
    viewer: session.hasViewer ? "connected" : "not connected",
    credential: session.credential,
    created: session.createdAt,
    expires: session.expiresAt,
  }).map(([name, value]) => `${name.padEnd(12)}${value}`),
  ...boot,
  ...findingLines(session.warning ?? session.verdict),
];

const IN = { kvm: "in KVM", emulation: "by emulation" } as const;

const OUTCOMES = {
  "signed-in": "signed in",
  "destroyed-by-request": "ended on request",
  expired: "its time was up",
  failed: "see below",
} as const;

const findingLines = (finding: Warning | null): string[] =>
  finding
    ? [
        "",
        `${finding.code}: ${finding.sentence}`,
        ...finding.evidence.map((line) => `    ${line}`),
        `What to do: ${finding.hint}`,
      ]
    : [];
