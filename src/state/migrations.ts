/** The database's shape, step by step. A step that was ever released is never changed. */

/** By name, in order. Statements, each ended by a semicolon; none has one within. */
export const MIGRATIONS: Record<string, string> = {
  "001-init": `
    CREATE TABLE sessions (
      id text PRIMARY KEY, user_id text NOT NULL, started_by text NOT NULL, provider text NOT NULL, state text NOT NULL,
      generation integer NOT NULL DEFAULT 0, created_at text NOT NULL, expires_at text NOT NULL, recipient_key text,
      pairing_hash text NOT NULL, pairing_failures integer NOT NULL DEFAULT 0, stages text NOT NULL DEFAULT '[]', verdict text,
      sealed text, sealed_taken_at text, opened_at text, opened_host text, outcome text, receipt text);
    CREATE TABLE vms (
      id text PRIMARY KEY, session_id text NOT NULL REFERENCES sessions (id), backend text NOT NULL, image_digest text NOT NULL,
      tap text NOT NULL, mac text NOT NULL, address text NOT NULL, uid integer NOT NULL, pid integer, start_ticks text,
      created_at text NOT NULL);
    CREATE TABLE leases (address text PRIMARY KEY, vm_id text NOT NULL UNIQUE, leased_at text NOT NULL);
    CREATE TABLE ledger (
      vm_id text NOT NULL, kind text NOT NULL, ref text NOT NULL, acquired_at text NOT NULL, seen_gone_at text,
      CONSTRAINT ledger_pk PRIMARY KEY (vm_id, kind));
    CREATE TABLE api_keys (
      id text PRIMARY KEY, user_id text NOT NULL, scopes text NOT NULL, label text NOT NULL, hash text NOT NULL UNIQUE,
      created_at text NOT NULL, revoked_at text);
    CREATE INDEX sessions_state ON sessions (state);
    CREATE INDEX vms_session ON vms (session_id);
  `,

  // A microVM may belong to no session. SQLite cannot drop NOT NULL from a column: the table is made anew.
  "002-owners": `
    CREATE TABLE vms_new (
      id text PRIMARY KEY, session_id text REFERENCES sessions (id), backend text NOT NULL, image_digest text NOT NULL,
      tap text NOT NULL, mac text NOT NULL, address text NOT NULL, uid integer NOT NULL, pid integer, start_ticks text,
      created_at text NOT NULL);
    INSERT INTO vms_new SELECT id, session_id, backend, image_digest, tap, mac, address, uid, pid, start_ticks, created_at FROM vms;
    DROP TABLE vms;
    ALTER TABLE vms_new RENAME TO vms;
    CREATE INDEX vms_session ON vms (session_id);
  `,

  // The sealed result is in memory only; what is written down is that the requester has it.
  "003-answered": `
    ALTER TABLE sessions DROP COLUMN sealed;
    ALTER TABLE sessions ADD COLUMN answered_at text;
  `,

  // What is asked often reads what it answers, however long the history is.
  "004-history": `
    DROP INDEX sessions_state;
    CREATE INDEX sessions_unfinished ON sessions (state, user_id) WHERE receipt IS NULL;
    CREATE INDEX sessions_ended ON sessions (created_at) WHERE receipt IS NOT NULL;
    CREATE INDEX sessions_created ON sessions (created_at, id);
    CREATE INDEX sessions_user ON sessions (user_id, created_at, id);
    CREATE INDEX sessions_starter ON sessions (started_by, created_at, id);
    CREATE INDEX ledger_held ON ledger (vm_id) WHERE seen_gone_at IS NULL;
  `,

  // A microVM may own several things of one kind. What stood for its user until it had a process is a kind of its own.
  "005-ledger-by-name": `
    CREATE TABLE ledger_new (
      vm_id text NOT NULL, kind text NOT NULL, ref text NOT NULL, acquired_at text NOT NULL, seen_gone_at text,
      CONSTRAINT ledger_pk PRIMARY KEY (vm_id, kind, ref));
    INSERT INTO ledger_new SELECT vm_id, kind, ref, acquired_at, seen_gone_at FROM ledger;
    UPDATE ledger_new SET kind = 'user', ref = substr(ref, 6) WHERE kind = 'process' AND ref LIKE 'user %';
    DROP TABLE ledger;
    ALTER TABLE ledger_new RENAME TO ledger;
    CREATE INDEX ledger_held ON ledger (vm_id) WHERE seen_gone_at IS NULL;
  `,

  // What its guest runs in, and why it was chosen.
  "006-why": `
    ALTER TABLE vms ADD COLUMN accel text;
    ALTER TABLE vms ADD COLUMN why text;
  `,
};
