/** Tables as kysely sees them. Times are ISO 8601 text; JSON columns hold shapes of contract/session.ts. */
import type { Generated } from "kysely";
import type { ResourceKind, SessionState } from "../contract/session.ts";

export interface Database {
  sessions: SessionsTable;
  vms: VmsTable;
  leases: LeasesTable;
  ledger: LedgerTable;
  api_keys: ApiKeysTable;
}

/** The wish: what the user asked for. */
export interface SessionsTable {
  id: string;
  user_id: string;
  started_by: string;
  provider: string;
  state: SessionState;
  /** Grows with each change; an update that names an older one loses. */
  generation: Generated<number>;
  created_at: string;
  expires_at: string;
  recipient_key: string | null;
  pairing_hash: string;
  pairing_failures: Generated<number>;
  /** JSON StageRecord[]. */
  stages: Generated<string>;
  /** JSON Verdict. */
  verdict: string | null;
  /** JSON Sealed: readable by nobody but the requester. */
  sealed: string | null;
  sealed_taken_at: string | null;
  opened_at: string | null;
  opened_host: string | null;
  outcome: string | null;
  /** JSON Receipt. */
  receipt: string | null;
}

/** The process: one VMM on this host. */
export interface VmsTable {
  id: string;
  /** Null: booted to make a warm snapshot of. */
  session_id: string | null;
  backend: string;
  image_digest: string;
  tap: string;
  mac: string;
  address: string;
  uid: number;
  pid: number | null;
  start_ticks: string | null;
  created_at: string;
}

/** Addresses in use; the primary key is what makes a lease exclusive. */
export interface LeasesTable {
  address: string;
  vm_id: string;
  leased_at: string;
}

/** One row per thing on the host that a microVM owns, written before the thing is made. */
export interface LedgerTable {
  vm_id: string;
  kind: ResourceKind;
  ref: string;
  acquired_at: string;
  seen_gone_at: string | null;
}

export interface ApiKeysTable {
  id: string;
  user_id: string;
  /** JSON Scope[]. */
  scopes: string;
  label: string;
  /** SHA-256 of a 256-bit secret, hex. */
  hash: string;
  created_at: string;
  revoked_at: string | null;
}
