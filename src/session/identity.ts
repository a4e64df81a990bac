import type { GuestParams } from "../contract/guest.ts";
import { keyThumbprint } from "../handover/sealing.ts";
import type { Session } from "./session.ts";

/** For whom a guest works, as `configure` says it. */
export const sessionIdentity = (
  { id, userId, provider, expiresAt, recipientKey }: Session,
  providerTitle: (provider: string) => string,
): GuestParams<"configure"> => ({
  session: {
    providerTitle: providerTitle(provider),
    sealing: {
      sessionId: id,
      provider,
      userId,
      expiresAt,
      keyThumbprint: recipientKey === null ? "" : keyThumbprint(recipientKey),
    },
    ...(recipientKey === null ? {} : { recipientKey }),
  },
});
