/**
 * The requester's side of one sign-in, whole:
 *
 *     prepare → start → boot stages → viewer paired → [flow of the mode] → destroy → receipt
 *
 * The order matters: tools give up after 120 s (wrangler) or 180 s (kubelogin), so that the machine must be up and the person
 * in front of it before the tool is started. What can fail without a VM fails in `prepare`, before there is one.
 */
import type { Client } from "../client/client.ts";
import type { StartResponse } from "../contract/api.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { BootStage, Receipt } from "../contract/session.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { prepareOidc, type Tokens } from "./oidc.ts";
import { prepareOpen } from "./open.ts";
import { prepareRelay } from "./relay.ts";
import { createRemoteSession, type RemoteSession } from "./remote-session.ts";
import { createRecipient, keyFingerprint, type Recipient } from "../handover/sealing.ts";

/** What happened, for whoever shows it. `ms` counts from the beginning of `login`. */
export type LoginEvent = { ms: number } & LoginNews;
export type LoginNews =
  | ({ event: "started"; keyFingerprint: string } & StartResponse)
  | { event: "stage"; stage: BootStage; durationMs: number }
  /** Somebody typed a wrong pairing code at the viewer page; at five it is locked. */
  | { event: "wrong-code"; count: number }
  /** Something is in the guest's way, and was named before its deadline; over when it goes on. */
  | { event: "warning"; code: string; sentence: string; hint: string }
  | { event: "warning-over"; code: string }
  /** The browser shows itself; the viewer is waited for. */
  | { event: "ready" }
  | { event: "active" }
  | { event: "tool-started"; command: string[] }
  /** What the tool itself prints, as it comes. */
  | { event: "tool-output"; stream: "stdout" | "stderr"; text: string }
  | { event: "opened"; url: string }
  | { event: "caught" }
  | { event: "answer-failed"; code: string; sentence: string }
  | { event: "signed-in"; account: Account | null; credential: string | null }
  | { event: "destroyed"; receipt: Receipt }
  | { event: "destroy-failed"; code: string; sentence: string };

/** Who signed in, where the flow can know it: in mode `oidc`. */
export interface Account {
  issuer: string;
  sub: string;
  name: string;
}

/** One mode's part, between the viewer being there and the session being destroyed. */
export type Flow = (session: RemoteSession, report: (news: LoginNews) => void) => Promise<FlowResult>;

export interface FlowResult {
  account: Account | null;
  /** Where the credential is now, in words; null where nobody knows. */
  credential: string | null;
  tokens?: Tokens;
}

export interface LoginOptions {
  client: Client;
  /** From this machine: a controller must not choose which command runs here. */
  recipe: ProviderRecipe;
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
  /** Milliseconds from the beginning to each step: `started`, the boot stages, `active`, `opened`, … */
  timings: Record<string, number>;
}

/**
 * Signs in. Throws AppError of the flow, the session's own verdict, or `url-…`; `context.toolExitCode` where the tool failed.
 * However it ends, the session is destroyed.
 */
export const login = async (options: LoginOptions): Promise<LoginResult> => {
  const { client, recipe, signal } = options;
  const { report, timings } = createReport(options.onEvent);
  const flow = await prepare(options);
  const recipient = await createRecipient();
  const started = await client.start({
    provider: recipe.name,
    recipientKey: recipient.publicKey,
    ...(options.userId === undefined ? {} : { userId: options.userId }),
  });
  report({ event: "started", ...started, keyFingerprint: keyFingerprint(recipient.publicKey) });

  let result: FlowResult;
  try {
    result = await signIn({ client, started, recipient, signal, flow, report });
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
      return prepareOidc({ recipe, signal });
    case "relay":
      return prepareRelay({ recipe, signal, env, isInteractive });
    case "open":
      return prepareOpen({ recipe, signal, env, isInteractive });
  }
};

interface Running {
  client: Client;
  started: StartResponse;
  recipient: Recipient;
  signal: AbortSignal;
  flow: Flow;
  report: (news: LoginNews) => void;
}

const signIn = async ({ client, started, recipient, signal, flow, report }: Running): Promise<FlowResult> => {
  const passed = new Set<BootStage>();
  let wrongCodes = 0;
  let warned: string | undefined;
  const session = createRemoteSession({
    client,
    started,
    recipient,
    signal,
    onView: ({ stages, wrongPairingCodes, warning, state }) => {
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
    },
  });
  try {
    await session.until(({ state }) => state === "ready" || state === "active");
    report({ event: "ready" });
    await session.until(({ state }) => state === "active");
    report({ event: "active" });
    const result = await flow(session, report);
    report({ event: "signed-in", account: result.account, credential: result.credential });
    return result;
  } finally {
    session.close();
  }
};

/** The first failure is what is told; that the machine could not be destroyed besides is told beside it. */
const destroyAfterFailure = async (client: Client, sessionId: string, report: Running["report"]): Promise<void> => {
  try {
    report({ event: "destroyed", receipt: await client.destroy(sessionId) });
  } catch (error) {
    const code = error instanceof AppError ? error.code : "internal";
    report({ event: "destroy-failed", code, sentence: messageOf(error) });
  }
};

/** Stamps events with the time since the beginning and keeps the first time of each step. */
const createReport = (onEvent: LoginOptions["onEvent"]) => {
  const begin = performance.now();
  const timings: Record<string, number> = {};
  const report = (news: LoginNews): void => {
    const ms = Math.round(performance.now() - begin);
    const step = news.event === "stage" ? news.stage : news.event === "signed-in" ? "signedIn" : news.event;
    if (news.event !== "tool-output") timings[step] ??= ms;
    onEvent({ ms, ...news });
  };
  return { report, timings };
};
