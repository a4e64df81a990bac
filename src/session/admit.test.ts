import { beforeEach, describe, expect, test } from "vitest";
import { RECEIPT } from "../../test/fixtures/receipt.ts";
import { loadConfig, type Config } from "../config/config.ts";
import type { Image } from "../image/store.ts";
import { createMicrovmStore } from "../microvm/store.ts";
import { openDatabase, type Db } from "../state/db.ts";
import { admit } from "./admit.ts";
import { newSession } from "./session.ts";
import { createSessionStore } from "./store.ts";

const image = { digest: "sha256:test" } as Image;
const env = { configFile: undefined, dataDir: undefined, logLevel: undefined } as Parameters<typeof loadConfig>[0];
const defaults = loadConfig(env, "/dev/null");
const configOf = (session: Partial<Config["session"]>): Config => ({
  ...defaults,
  session: { ...defaults.session, ...session },
});

let db: Db;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  return () => db.destroy();
});

const chosen = { backend: "fake", accel: "emulation", why: "It is a fake." } as const;
const ask = async (userId: string, config: Config) => {
  const session = newSession({ provider: "oidc" }, { userId, startedBy: "key_1", ttlSec: 900 });
  await admit(db, { session, pairingHash: "", image, chosen, config });
  return session;
};
/** `admitted`, or the refusal's code. */
const answerTo = (userId: string, config: Config): Promise<string> =>
  ask(userId, config).then(
    () => "admitted",
    (error: unknown) => (error as { code: string }).code,
  );

describe("who is let in", () => {
  test("starts at once pass no limit that has room for fewer, and nothing is left of the refused", async () => {
    const config = configOf({ maxPerUser: 2, max: 5 });
    const users = ["ada", "ada", "ada", "bob", "bob", "bob", "eve", "eve"];
    expect(await Promise.all(users.map((user) => answerTo(user, config)))).toEqual([
      "admitted",
      "admitted",
      "too-many-sessions",
      "admitted",
      "admitted",
      "too-many-sessions",
      "admitted",
      "host-full",
    ]);
    for (const table of ["sessions", "vms", "leases", "ledger"] as const) {
      expect(await db.selectFrom(table).selectAll().execute(), table).toHaveLength(5);
    }
  });

  test("who ended counts for the host until nothing is left, and no more for the user", async () => {
    const config = configOf({ maxPerUser: 1, max: 2 });
    const store = createSessionStore(db);
    const first = await ask("ada", config);
    const failed = await store.change(await store.change(first, { state: "starting" }), { state: "failed" });
    expect(await answerTo("ada", config)).toBe("admitted");
    expect(await answerTo("bob", config)).toBe("host-full");
    await store.change(failed, { receipt: RECEIPT });
    expect(await answerTo("bob", config)).toBe("admitted");
  });
});

test("a microVM that waited is one session's, and who comes second is not let in", async () => {
  const vms = createMicrovmStore(db);
  const own = { id: "vm_1", sessionId: null, address: "10.0.0.2", tap: "", mac: "", uid: 1, process: null };
  const waiting = { ...own, ...chosen, imageDigest: image.digest, createdAt: "2026-11-30T12:00:00.000Z" };
  await vms.insert(waiting);
  const sessions = ["ada", "bob"].map((userId) =>
    newSession({ provider: "oidc" }, { userId, startedBy: "key_1", ttlSec: 900 }),
  );
  const asked = sessions.map((session) =>
    admit(db, { session, pairingHash: "", image, chosen, config: defaults, waiting }),
  );
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect((await vms.get("vm_1"))?.sessionId).toBe(sessions[0]?.id);
  expect(await createSessionStore(db).get(sessions[1]?.id ?? "")).toBeUndefined();
});
