import { randomBytes } from "node:crypto";
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
  plan: "boot" | "restore",
  deps: { network: Network; providerTitle: (provider: string) => string },
): GuestParams<"configure"> => ({
  hostname: tapOf(vm.id),
  nameserver: deps.network.gateway,
  ...(plan === "boot" ? {} : ofClone(vm, deps.network)),
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

/** What a microVM that boots has from its VMM, and makes itself. */
const ofClone = ({ mac, address }: Microvm, { prefixLength, gateway }: Network): Partial<GuestParams<"configure">> => ({
  network: { mac, address, prefixLength, gateway },
  machineId: randomBytes(16).toString("hex"),
});
