import { randomBytes } from "node:crypto";
import type { GuestParams } from "../contract/guest.ts";
import { tapOf } from "../lib/id.ts";
import type { Network } from "../network/network.ts";
import type { Microvm } from "./store.ts";

/** Which machine a guest is, as `configure` says it; the clock is added when it is sent. A guest that boots has the rest from its VMM. */
export const machineIdentity = (
  { id, mac, address }: Microvm,
  { prefixLength, gateway }: Network,
  plan: "boot" | "restore",
): GuestParams<"configure"> => ({
  hostname: tapOf(id),
  nameserver: gateway,
  ...(plan === "boot"
    ? {}
    : { network: { mac, address, prefixLength, gateway }, machineId: randomBytes(16).toString("hex") }),
});
