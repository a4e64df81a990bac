import type { Command } from "commander";
import type { SessionView, VmView } from "../../contract/api.ts";
import { awaitedStage } from "../../contract/session.ts";
import type { CliContext } from "../context.ts";
import { duration, table } from "../output.ts";

export const addLs = (program: Command, context: CliContext): void => {
  program
    .command("ls")
    .description("list sessions")
    .option("--vms", "list microVMs and what they hold instead")
    .action(async (options: { vms?: boolean }) => {
      if (options.vms) {
        const vms = await context.client().vms();
        return context.out.result(vms, () => vmTable(vms));
      }
      const sessions = await context.client().sessions();
      context.out.result(sessions, () => sessionTable(sessions));
    });
};

const sessionTable = (sessions: SessionView[]): string[] =>
  table(
    ["SESSION", "PROVIDER", "USER", "STATE", "STAGE", "ADDRESS", "AGE"],
    sessions.map((session) => [
      session.sessionId,
      session.provider,
      session.userId,
      [session.state, session.verdict?.code ?? session.warning?.code].filter(Boolean).join(": "),
      // What is waited for, or was in vain.
      session.verdict?.stage ?? (session.state === "starting" ? awaitedStage(session.stages) : null) ?? "-",
      session.browserIP ?? "-",
      duration(Date.now() - Date.parse(session.createdAt)),
    ]),
    "No sessions.",
  );

const vmTable = (vms: VmView[]): string[] =>
  table(
    ["VM", "SESSION", "BACKEND", "TAP", "ADDRESS", "PID", "HOLDS"],
    vms.map((vm) => [
      vm.vmId,
      vm.sessionId ?? "(nobody yet)",
      vm.backend,
      vm.tap,
      vm.address,
      vm.pid === null ? "-" : String(vm.pid),
      vm.holds.map(({ kind }) => kind).join(",") || "nothing",
    ]),
    "No microVMs.",
  );
