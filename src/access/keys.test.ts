import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase, type Db } from "../state/db.ts";
import { createKeyStore, type KeyStore } from "./keys.ts";

let folder: string;
let db: Db;
let file: string;
let keys: KeyStore;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-keys-"));
  db = await openDatabase(join(folder, "db"));
  file = join(folder, "admin.key");
  keys = createKeyStore(db, file);
  await keys.ensureAdmin();
});
afterEach(async () => {
  await db.destroy();
  rmSync(folder, { recursive: true });
});

const admin = (): string => readFileSync(file, "utf8").trim();
const living = async (): Promise<number> => (await keys.list()).filter(({ revokedAt }) => revokedAt === null).length;

test("the file's key is the operator's, and one at a time", async () => {
  const first = admin();
  expect(await keys.holderOf(first)).toMatchObject({ userId: "admin", scopes: ["login", "act-as", "operate"] });
  writeFileSync(file, "sally_new\n");
  expect(await keys.holderOf("sally_other")).toBeUndefined();
  const holders = await Promise.all([1, 2, 3].map(() => keys.holderOf("sally_new")));
  expect(holders).toEqual(holders.map(() => expect.objectContaining({ userId: "admin" }) as object));
  expect(await keys.holderOf(first)).toBeUndefined();
  expect(await living()).toBe(1);
});

test("a revoked one stays revoked while it is in the file, also over a restart; a new one takes its place", async () => {
  const [{ id } = { id: "" }] = await keys.list();
  await keys.revoke(id);
  await keys.ensureAdmin();
  expect(await keys.holderOf(admin())).toBeUndefined();
  writeFileSync(file, "sally_new\n");
  await keys.ensureAdmin();
  expect(await keys.holderOf("sally_new")).toMatchObject({ userId: "admin" });
});

test("an empty or absent file opens nothing, and others' keys are left alone", async () => {
  const { key } = await keys.create({ userId: "admin", scopes: ["login"], label: "a script" });
  writeFileSync(file, "\n");
  expect(await keys.holderOf("")).toBeUndefined();
  rmSync(file);
  expect(await keys.holderOf("")).toBeUndefined();
  await keys.ensureAdmin();
  expect(await keys.holderOf(key)).toMatchObject({ userId: "admin", scopes: ["login"] });
  expect(await keys.holderOf(admin())).toMatchObject({ scopes: ["login", "act-as", "operate"] });
});
