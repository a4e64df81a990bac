import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { openDatabase } from "./db.ts";
import { MIGRATIONS } from "./migrations.ts";

test("a second controller on the same file is refused with a sentence, and welcome when the first is gone", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "sallyport-db-")), "sallyport.db");
  const first = await openDatabase(file);
  await expect(openDatabase(file)).rejects.toMatchObject({ code: "already-running" });
  await first.destroy();
  const second = await openDatabase(file);
  expect(await second.selectFrom("sessions").selectAll().execute()).toEqual([]);
  await second.destroy();
});

test("a database of the first version keeps its rows, and no byte of what is not kept any more", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-db-"));
  const file = join(folder, "sallyport.db");
  const { "001-init": init } = MIGRATIONS;
  const old = await openDatabase(file, { "001-init": init! });
  const sealed = "a-sealed-result-that-somebody-waited-for";
  for (const statement of [
    `INSERT INTO sessions (id, user_id, started_by, provider, state, created_at, expires_at, pairing_hash, sealed)
     VALUES ('ses_1', 'ali\u202ece', 'key_1', 'oidc', 'active', '2026-01-01', '2026-01-01', '', '${sealed}')`,
    `INSERT INTO vms VALUES ('vm_1', 'ses_1', 'qemu', 'sha256:0', 'sp-1', '06', '192.168.100.2', 900002, 7, '8', '2026-01-01')`,
  ]) {
    await sql.raw(statement).execute(old);
  }
  await old.destroy();
  const now = await openDatabase(file);
  expect(await now.selectFrom("sessions").select(["id", "userId", "answeredAt"]).execute()).toEqual([
    { id: "ses_1", userId: "ali\u202ece", answeredAt: null },
  ]);
  expect(await now.selectFrom("vms").select(["sessionId", "pid"]).execute()).toEqual([{ sessionId: "ses_1", pid: 7 }]);
  await now.destroy();
  for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name), "latin1")).not.toContain(sealed);
});
