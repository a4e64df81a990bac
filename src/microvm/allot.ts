/** What a microVM is given before anything of it is made: its id, its address, and with it its MAC and its VMM's user. */
import type { Config } from "../config/config.ts";
import type { Image } from "../image/store.ts";
import { newVmId, tapOf } from "../lib/id.ts";
import { macOf } from "../lib/ipv4.ts";
import { hostNumber, leaseAddress, parseBridgeCidr } from "../network/lease.ts";
import type { Db } from "../state/db.ts";
import { createLedger } from "./ledger.ts";
import { createMicrovmStore, type Microvm } from "./store.ts";

export interface AllotOptions extends Pick<Microvm, "sessionId" | "createdAt"> {
  image: Pick<Image, "digest">;
  /** The VMM backend that will run it, by its name, and why. */
  chosen: Pick<Microvm, "backend" | "accel" | "why">;
  config: Config;
}

/** To be called in a transaction. Throws AppError `pool-exhausted`. */
export const allotMicrovm = async (transaction: Db, options: AllotOptions): Promise<Microvm> => {
  const { image, chosen, config, sessionId, createdAt } = options;
  const range = parseBridgeCidr(config.network.cidr);
  const id = newVmId();
  const address = await leaseAddress(transaction, range, id);
  await createLedger(transaction).acquire(id, "lease", address);
  const vm: Microvm = {
    id,
    sessionId,
    ...chosen,
    imageDigest: image.digest,
    tap: tapOf(id),
    mac: macOf(address),
    address,
    uid: config.vm.uidBase + hostNumber(address, range),
    process: null,
    createdAt,
  };
  await createMicrovmStore(transaction).insert(vm);
  return vm;
};
