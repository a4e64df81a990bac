/** API keys: 256-bit bearer secrets, stored as SHA-256 (a slow hash protects guessable secrets, which these are not). */
import { createHash } from "node:crypto";
import { scope, type KeyHolder, type KeyView, type Scope } from "../contract/api.ts";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError } from "../lib/errors.ts";
import { newApiKey, newKeyId } from "../lib/id.ts";
import { readKeyFile } from "../lib/key-file.ts";
import { createMutex } from "../lib/mutex.ts";
import type { Db } from "../state/db.ts";

export type KeyStore = ReturnType<typeof createKeyStore>;

/** Of the key that is made from the file, and of no other. */
const LOCAL_OPERATOR = { userId: "admin", scopes: ["login", "act-as", "operate"], label: "local operator" } as const;

/**
 * `adminKeyFile` (0600, root's) holds the local operator's key, which the command line reads: whoever may write there is root. So the
 * file decides what that key is: a key in it that the database does not know is entered as it is used or at the next start, and
 * takes the place of the one before. One that was revoked stays so.
 */
export const createKeyStore = (db: Db, adminKeyFile: string) => {
  const create = async (input: { userId: string; scopes: Scope[]; label: string }, key = newApiKey()) => {
    const record: KeyView = { id: newKeyId(), ...input, createdAt: new Date().toISOString(), revokedAt: null };
    await db
      .insertInto("apiKeys")
      .values({ ...record, scopes: JSON.stringify(record.scopes), hash: hashKey(key) })
      .execute();
    return { ...record, key };
  };

  const holderOf = async (key: string): Promise<KeyHolder | undefined> => {
    const row = await db
      .selectFrom("apiKeys")
      .selectAll()
      .where("hash", "=", hashKey(key))
      .where("revokedAt", "is", null)
      .executeTakeFirst();
    return row && { keyId: row.id, userId: row.userId, scopes: parseScopes(row.scopes) };
  };

  const revocation = () => db.updateTable("apiKeys").set({ revokedAt: new Date().toISOString() });

  const enterAdmin = async (): Promise<void> => {
    const key = readKeyFile(adminKeyFile);
    if (key === undefined) return;
    const known = await db.selectFrom("apiKeys").select("id").where("hash", "=", hashKey(key)).executeTakeFirst();
    if (known) return;
    await revocation()
      .where("userId", "=", LOCAL_OPERATOR.userId)
      .where("label", "=", LOCAL_OPERATOR.label)
      .where("revokedAt", "is", null)
      .execute();
    await create({ ...LOCAL_OPERATOR, scopes: [...LOCAL_OPERATOR.scopes] }, key);
  };
  const inTurn = createMutex();

  return {
    /** The secret is in the answer and nowhere else. */
    create,

    /** Who holds this secret, or undefined. Looked up by hash: equal time for every wrong one. */
    holderOf: async (key: string): Promise<KeyHolder | undefined> => {
      const holder = await holderOf(key);
      if (holder || hashKey(key) !== hashKey(readKeyFile(adminKeyFile) ?? "")) return holder;
      await inTurn(enterAdmin);
      return holderOf(key);
    },

    list: async (): Promise<KeyView[]> => {
      const columns = ["id", "userId", "scopes", "label", "createdAt", "revokedAt"] as const;
      const rows = await db.selectFrom("apiKeys").select(columns).orderBy("createdAt").execute();
      return rows.map((row) => ({ ...row, scopes: parseScopes(row.scopes) }));
    },

    /** Throws `unknown-key` (404). */
    revoke: async (id: string): Promise<void> => {
      const { numUpdatedRows } = await revocation().where("id", "=", id).executeTakeFirst();
      if (numUpdatedRows === 0n) throw new AppError("not-found", "unknown-key", `There is no key ${id}.`);
    },

    /** At start: makes the local operator's key file if there is none, and enters what is in it. */
    ensureAdmin: async (): Promise<void> => {
      if (readKeyFile(adminKeyFile) === undefined) writeFileAtomically(adminKeyFile, `${newApiKey()}\n`);
      await enterAdmin();
    },
  };
};

const hashKey = (key: string): string => createHash("sha256").update(key).digest("hex");

/** One that cannot be read may do nothing, and keeps no other from being listed. */
const parseScopes = (json: string): Scope[] => {
  try {
    return scope.array().parse(JSON.parse(json));
  } catch {
    return [];
  }
};
