import type { SessionView } from "../contract/api.ts";
import type { Microvm } from "../microvm/store.ts";
import type { Session } from "./session.ts";

type Live = Pick<SessionView, "hostId" | "hasViewer" | "wrongPairingCodes" | "warning"> & { isCaught: boolean };

/** What is shown of a session's microVM. */
export type ShownVm = Pick<Microvm, "id" | "address" | "backend" | "accel" | "why">;

/** A session as the API shows it: nothing of its keys, code or sealed box. */
export const viewOf = (session: Session, vm: ShownVm | undefined, { isCaught, ...live }: Live): SessionView => ({
  sessionId: session.id,
  provider: session.provider,
  userId: session.userId,
  state: session.state,
  stages: session.stages,
  browserIP: vm?.address ?? null,
  vmId: vm?.id ?? null,
  vm: vm ? { backend: vm.backend, accel: vm.accel, why: vm.why } : null,
  createdAt: session.createdAt,
  expiresAt: session.expiresAt,
  ...live,
  credential: credentialOf(session, isCaught),
  verdict: session.verdict,
  outcome: session.outcome,
  hasReceipt: session.receipt !== null,
});

const credentialOf = (session: Session, isCaught: boolean): SessionView["credential"] => {
  if (session.recipientKey === null) return "none-possible";
  if (session.sealedTakenAt !== null) return "taken";
  return isCaught ? "waiting" : "awaited";
};
