/** API keys: 256-bit bearer secrets, stored as SHA-256 (a slow hash protects guessable secrets, which these are not). */
import { createHash } from "node:crypto";
import type { Scope } from "../contract/api.ts";
import { scope } from "../contract/api.ts";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError } from "../lib/errors.ts";
import { newApiKey, newKeyId } from "../lib/id.ts";
import { readKeyFile } from "../lib/key-file.ts";
import type { Db } from "../state/db.ts";

export interface KeyHolder {
  keyId: string;
  userId: string;
  scopes: Scope[];
}

export interface KeyRecord {
  id: string;
  userId: string;
  scopes: Scope[];
  label: string;
  createdAt: string;
  revokedAt: string | null;
}

export type KeyStore = ReturnType<typeof createKeyStore>;

export const createKeyStore = (db: Db) => {
  const create = async (input: { userId: string; scopes: Scope[]; label: string }, key = newApiKey()) => {
    const record: KeyRecord = {
      id: newKeyId(),
      ...input,
      createdAt: new Date().toISOString(),
      revokedAt: null,
    };
    await db
      .insertInto("apiKeys")
      .values({ ...record, scopes: JSON.stringify(record.scopes), hash: hashKey(key) })
      .execute();
    return { ...record, key };
  };

  return {
    /** The secret is in the answer and nowhere else. */
    create,

    /** Who holds this secret, or undefined. Looked up by hash: equal time for every wrong one. */
    holderOf: async (key: string): Promise<KeyHolder | undefined> => {
      const row = await db
        .selectFrom("apiKeys")
        .selectAll()
        .where("hash", "=", hashKey(key))
        .where("revokedAt", "is", null)
        .executeTakeFirst();
      return row && { keyId: row.id, userId: row.userId, scopes: parseScopes(row.scopes) };
    },

    list: async (): Promise<KeyRecord[]> => {
      const columns = ["id", "userId", "scopes", "label", "createdAt", "revokedAt"] as const;
      const rows = await db.selectFrom("apiKeys").select(columns).orderBy("createdAt").execute();
      return rows.map((row) => ({ ...row, scopes: parseScopes(row.scopes) }));
    },

    revoke: async (id: string): Promise<void> => {
      const { numUpdatedRows } = await db
        .updateTable("apiKeys")
        .set({ revokedAt: new Date().toISOString() })
        .where("id", "=", id)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw new AppError("not-found", "unknown-key", `There is no key ${id}.`);
    },

    /**
     * The local operator's key, in a 0600 file that the command line reads. Made at first start, and again when the
     * file is gone; a file whose key the database does not know (a restored copy) is entered anew.
     */
    ensureAdmin: async (file: string): Promise<void> => {
      const existing = readKeyFile(file);
      if (existing !== undefined) {
        const row = await db
          .selectFrom("apiKeys")
          .select("id")
          .where("hash", "=", hashKey(existing))
          .executeTakeFirst();
        if (row) return;
      }
      const key = existing ?? newApiKey();
      if (existing === undefined) writeFileAtomically(file, `${key}\n`);
      await create({ userId: "admin", scopes: ["login", "act-as", "operate"], label: "local operator" }, key);
    },
  };
};

const hashKey = (key: string): string => createHash("sha256").update(key).digest("hex");

const parseScopes = (json: string): Scope[] => scope.array().parse(JSON.parse(json));
