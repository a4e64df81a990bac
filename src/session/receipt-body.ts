import type { GoneResource, ReceiptBody } from "../contract/session.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

/** What a receipt says of a session whose microVM is gone now. */
export const receiptBodyOf = (session: Session, vm: Microvm, gone: GoneResource[], hostId: string): ReceiptBody => ({
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
