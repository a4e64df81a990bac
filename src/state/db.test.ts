import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openDatabase } from "./db.ts";

test("a second controller on the same file is refused with a sentence, and welcome when the first is gone", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "sallyport-db-")), "sallyport.db");
  const first = await openDatabase(file);
  await expect(openDatabase(file)).rejects.toMatchObject({ code: "already-running" });
  await first.destroy();
  const second = await openDatabase(file);
  expect(await second.selectFrom("sessions").selectAll().execute()).toEqual([]);
  await second.destroy();
});
