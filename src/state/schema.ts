/** Tables as kysely shows them: `camelCase` here, `snake_case` in the file. Times are ISO 8601 text; JSON columns hold shapes of contract/session.ts. */
import type { Generated } from "kysely";
import type { SessionState } from "../contract/session.ts";

export interface Database {
  /** The wish: what the user asked for. */
  sessions: {
    id: string;
    userId: string;
    /** API key that started it; it may see the session even when it is another user's (scope `act-as`). */
    startedBy: string;
    provider: string;
    state: SessionState;
    /** Grows with each change; an update that names an older one loses. */
    generation: Generated<number>;
    createdAt: string;
    expiresAt: string;
    /** Raw X25519 public key, base64; null: nothing can be handed over. */
    recipientKey: string | null;
    pairingHash: string;
    pairingFailures: Generated<number>;
    /** JSON StageRecord[]. */
    stages: Generated<string>;
    /** JSON Verdict. */
    verdict: string | null;
    /** When the requester first fetched the sealed result. */
    sealedTakenAt: string | null;
    /** When the requester acknowledged it with the tool's answer: the guest has forgotten it. */
    answeredAt: string | null;
    /** When a URL was sent to the browser: one per session. */
    openedAt: string | null;
    /** Its host, for the strip beside the screen; never its path or query. */
    openedHost: string | null;
    outcome: string | null;
    /** JSON Receipt. */
    receipt: string | null;
  };

  /** The process: one VMM on this host. */
  vms: {
    id: string;
    /** The session that it incarnates; null: it is booted to make a warm snapshot of, and belongs to nobody. */
    sessionId: string | null;
    /** Name of the VMM backend that started it, and alone can talk to it. */
    backend: string;
    /** In what its guest runs, and why this and that backend; null for one that was started before this was written down. */
    accel: "kvm" | "emulation" | null;
    why: string | null;
    imageDigest: string;
    tap: string;
    mac: string;
    address: string;
    uid: number;
    pid: number | null;
    startTicks: string | null;
    createdAt: string;
  };

  /** Addresses in use; the primary key is what makes a lease exclusive. */
  leases: { address: string; vmId: string; leasedAt: string };

  /** One row per thing on the host that a microVM owns, by kind and name, written before the thing is made. */
  ledger: {
    vmId: string;
    kind: string;
    /** Name of the thing: an address, an interface, a process id, a folder's name. */
    ref: string;
    acquiredAt: string;
    seenGoneAt: string | null;
  };

  apiKeys: {
    id: string;
    userId: string;
    /** JSON Scope[]. */
    scopes: string;
    label: string;
    /** SHA-256 of a 256-bit secret, hex. */
    hash: string;
    createdAt: string;
    revokedAt: string | null;
  };
}
