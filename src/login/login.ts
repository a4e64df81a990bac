/**
 * The requester's side of one sign-in, whole:
 *
 *     prepare → start → stages → viewer paired → [flow of the mode] → destroy → receipt
 *
 * The order matters: tools give up after 120 s (wrangler) or 180 s (kubelogin), so that the machine must be up and the person
 * in front of it before the tool is started. What can fail without a VM fails in `prepare`, before there is one.
 */
import type { Client } from "../client/client.ts";
import type { SessionView } from "../contract/api.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { StartStage, Receipt } from "../contract/session.ts";
import type { Flow, FlowResult, LoginNews, Report } from "./flow.ts";
import { checkLinks } from "./links-check.ts";
import { prepareOidc } from "./oidc.ts";
import { prepareOpen } from "./open.ts";
import { inWords, prepareRelay } from "./relay.ts";
import { createRemoteSession, type RemoteSession } from "./remote-session.ts";
import { createRecipient, keyFingerprint } from "../handover/sealing.ts";

/** What happened, for whoever shows it. `ms` counts from the beginning of `login`. */
export type LoginEvent = { ms: number } & LoginNews;

export interface LoginOptions {
  client: Client;
  /** From this machine: a controller must not choose which command runs here. */
  recipe: ProviderRecipe;
  /** Where viewers find the controller: links of another origin are refused. */
  publicUrl: string;
  /** For keys with scope `act-as`: whose sign-in it is. */
  userId?: string | undefined;
  /** Environment that the tool inherits. */
  env: Record<string, string | undefined>;
  /** Whether the tool may ask the person at this terminal. */
  isInteractive: boolean;
  onEvent: (event: LoginEvent) => void;
  signal: AbortSignal;
}

export interface LoginResult extends FlowResult {
  receipt: Receipt;
  /** Milliseconds from the beginning to each step: `started`, the stages, `active`, `opened`, … */
  timings: Record<string, number>;
}

/**
 * Signs in. Throws AppError of the flow, the session's own verdict, or `url-…`; `context.toolExitCode` where the tool failed.
 * However it ends, the session is destroyed.
 */
export const login = async (options: LoginOptions): Promise<LoginResult> => {
  const { client, recipe, userId, signal } = options;
  const { report, timings } = createReport(options.onEvent);
  const flow = await prepare(options);
  const recipient = await createRecipient();
  const started = await client.start({
    provider: recipe.name,
    recipientKey: recipient.publicKey,
    ...(userId === undefined ? {} : { userId }),
  });
  let result: FlowResult;
  try {
    checkLinks(started, options.publicUrl);
    report({ event: "started", ...started, keyFingerprint: keyFingerprint(recipient.publicKey) });
    const session = createRemoteSession({ client, started, recipient, signal, onView: createViewReport(report) });
    result = await signIn(session, flow, report).finally(() => session.close());
  } catch (error) {
    await destroyAfterFailure(client, started.sessionId, report);
    throw error;
  }
  const receipt = await client.destroy(started.sessionId);
  report({ event: "destroyed", receipt });
  return { ...result, receipt, timings };
};

const prepare = (options: LoginOptions): Promise<Flow> => {
  const { recipe, signal, env, isInteractive } = options;
  switch (recipe.mode) {
    case "oidc":
      return prepareOidc(recipe);
    case "relay":
      return prepareRelay({ recipe, signal, env, isInteractive });
    case "open":
      return prepareOpen({ recipe, signal, env, isInteractive });
  }
};

const signIn = async (session: RemoteSession, flow: Flow, report: Report): Promise<FlowResult> => {
  await session.until(({ state }) => state === "ready" || state === "active");
  report({ event: "ready" });
  await session.until(({ state }) => state === "active");
  report({ event: "active" });
  const result = await flow(session, report);
  report({ event: "signed-in", account: result.account, credential: result.credential });
  return result;
};

/** What is new in each view. */
const createViewReport = (report: Report): ((view: SessionView) => void) => {
  const passed = new Set<StartStage>();
  let wrongCodes = 0;
  let warned: string | undefined;
  return ({ stages, wrongPairingCodes, warning, state }) => {
    if (warned !== undefined && warned !== warning?.code && state !== "failed") {
      report({ event: "warning-over", code: warned });
    }
    if (warning && warning.code !== warned) {
      const { code, sentence, hint } = warning;
      report({ event: "warning", code, sentence, hint });
    }
    warned = warning?.code;
    if (wrongPairingCodes > wrongCodes) report({ event: "wrong-code", count: wrongPairingCodes });
    wrongCodes = wrongPairingCodes;
    for (const { stage, startedAt, endedAt } of stages) {
      if (endedAt === null || passed.has(stage)) continue;
      passed.add(stage);
      report({ event: "stage", stage, durationMs: Date.parse(endedAt) - Date.parse(startedAt) });
    }
  };
};

/** The first failure is what is told; that the machine could not be destroyed besides is told beside it. */
const destroyAfterFailure = async (client: Client, sessionId: string, report: Report): Promise<void> => {
  try {
    report({ event: "destroyed", receipt: await client.destroy(sessionId) });
  } catch (error) {
    report({ event: "destroy-failed", ...inWords(error) });
  }
};

/** Stamps events with the time since the beginning and keeps the first time of each step. */
const createReport = (onEvent: LoginOptions["onEvent"]) => {
  const begin = performance.now();
  const timings: Record<string, number> = {};
  const report: Report = (news) => {
    const ms = Math.round(performance.now() - begin);
    const step = news.event === "stage" ? news.stage : news.event === "signed-in" ? "signedIn" : news.event;
    if (news.event !== "tool-output") timings[step] ??= ms;
    onEvent({ ms, ...news });
  };
  return { report, timings };
};
