import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { diskFullOf } from "./disk-full.ts";

test("a database and a file that have no room left say the same, and nothing else does", () => {
  const db = new DatabaseSync(":memory:");
  db.exec("PRAGMA max_page_count = 2; CREATE TABLE t (x)");
  let error: unknown;
  try {
    db.exec("INSERT INTO t VALUES (zeroblob(100000))");
  } catch (thrown) {
    error = thrown;
  }
  db.close();
  expect(diskFullOf(error)).toMatchObject({ code: "disk-full", status: 503, cause: error });
  for (const code of ["ENOSPC", "EDQUOT"]) {
    expect(diskFullOf(Object.assign(new Error("no space left"), { code }))?.code).toBe("disk-full");
  }
  expect(diskFullOf(Object.assign(new Error("no entry"), { code: "ENOENT" }))).toBeUndefined();
  expect(diskFullOf("a string")).toBeUndefined();
});
