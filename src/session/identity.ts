import type { GuestParams } from "../contract/guest.ts";
import { tapOf } from "../lib/id.ts";
import type { Network } from "../network/network.ts";
import { keyThumbprint } from "../handover/sealing.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

/** Who a guest is and for whom it works, as `configure` says it; the clock is added when it is sent. */
export const guestIdentity = (
  { id, userId, provider, expiresAt, recipientKey }: Session,
  vm: Microvm,
  deps: { network: Network; providerTitle: (provider: string) => string },
): GuestParams<"configure"> => ({
  hostname: tapOf(vm.id),
  nameserver: deps.network.gateway,
  session: {
    providerTitle: deps.providerTitle(provider),
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
