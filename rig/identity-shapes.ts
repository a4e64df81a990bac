import { z } from "zod";

export const account = z.strictObject({
  sub: z.string(),
  userName: z.string(),
  password: z.string(),
  name: z.string(),
});
export type Account = z.infer<typeof account>;

/** What the provider saw. Tokens only as the SHA-256 of the access token, hex. */
export type IdentityEvent =
  | { event: "listening" }
  | { event: "shown"; page: "login" | "consent" }
  | { event: "login"; userName: string; ok: boolean }
  | { event: "consent"; sub: string; clientId: string }
  | { event: "token"; sub: string; clientId: string; accessTokenSha256: string }
  | { event: "error"; message: string };
