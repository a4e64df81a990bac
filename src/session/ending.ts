/** The end of a session: written down, its microVM taken apart, and a receipt signed over what was seen gone. */
import type { KeyObject } from "node:crypto";
import type { GoneResource, ReceiptBody } from "../contract/session.ts";
import { signReceipt } from "../handover/receipt.ts";
import { messageOf } from "../lib/errors.ts";
import { destroyMicrovm, goneUnwritten } from "../microvm/destroy.ts";
import type { Microvm } from "../microvm/store.ts";
import { keepRecord, type Body } from "./post-mortem.ts";
import type { SessionRecord } from "./record.ts";
import type { Session } from "./session.ts";
import type { SessionChange } from "./store.ts";

export interface EndOptions {
  record: SessionRecord;
  /** Undefined: it was written down by a former controller. */
  ending: SessionChange | undefined;
  body: () => Body;
  hostId: string;
  receiptKey: KeyObject;
}

/**
 * What cannot be written down, on a full disk, is destroyed all the same; the record is tried again afterwards. Throws when something of
 * the microVM refuses to go, or the receipt cannot be written: may be called again.
 */
export const endSession = async ({ record, ending, body, hostId, receiptKey }: EndOptions): Promise<void> => {
  if (record.session.receipt) return;
  const recordEnding = async (): Promise<void> => {
    if (ending && record.session.state !== ending.state) await record.change(ending);
  };
  const { deps, vm, channel, logger } = body();
  if (ending?.state === "completing") {
    const destroyed = { state: "destroyed", outcome: ending.outcome ?? null } as const;
    await keepRecord(body(), { verdict: null, examination: undefined, ending: destroyed });
  }
  await recordEnding().catch((error: unknown) =>
    logger.error({ error: messageOf(error) }, "the session's end could not be recorded yet"),
  );
  channel?.close();
  const gone = await destroyMicrovm(deps, vm);
  try {
    await recordEnding();
    const { session } = record;
    const receipt = signReceipt(receiptBodyOf(session, vm, gone, hostId), receiptKey);
    await record.change({ ...(session.state === "completing" ? { state: "destroyed" as const } : {}), receipt });
  } catch (error) {
    throw goneUnwritten(error);
  }
};

/** What a receipt says of a session whose microVM is gone now. */
const receiptBodyOf = (session: Session, vm: Microvm, gone: GoneResource[], hostId: string): ReceiptBody => ({
  version: 1,
  hostId,
  sessionId: session.id,
  provider: session.provider,
  userId: session.userId,
  vmId: vm.id,
  imageDigest: vm.imageDigest,
  startedAt: session.createdAt,
  destroyedAt: new Date().toISOString(),
  outcome: session.outcome ?? "failed",
  gone,
});
