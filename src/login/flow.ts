/** What the three modes of a sign-in have in common. */
import type { StartResponse } from "../contract/api.ts";
import type { StartStage, Receipt } from "../contract/session.ts";
import type { RemoteSession } from "./remote-session.ts";

export type LoginNews =
  | ({ event: "started"; keyFingerprint: string } & StartResponse)
  | { event: "stage"; stage: StartStage; durationMs: number }
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

export type Report = (news: LoginNews) => void;

/** One mode's part, between the viewer being there and the session being destroyed. */
export type Flow = (session: RemoteSession, report: Report) => Promise<FlowResult>;

export interface FlowResult {
  account: Account | null;
  /** Where the credential is now, in words; null where nobody knows. */
  credential: string | null;
  tokens?: Tokens;
}

/** What the issuer gave, as RFC 6749 names it, without what is only of the moment. */
export interface Tokens {
  access_token: string;
  token_type: string;
  scope?: string | undefined;
  refresh_token?: string | undefined;
  id_token?: string | undefined;
  /** ISO 8601; absent where the issuer does not say. */
  expires_at?: string | undefined;
}
