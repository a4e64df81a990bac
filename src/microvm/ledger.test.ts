import { expect, test } from "vitest";
import { openDatabase } from "../state/db.ts";
import { rowsGone } from "./destroy.ts";
import { createLedger } from "./ledger.ts";

const ledgerOf = async () => createLedger(await openDatabase(":memory:"));

test("several things of one kind are kept side by side, and go one by one", async () => {
  const ledger = await ledgerOf();
  for (const ref of ["7", "8", "8"]) await ledger.acquire("vm", "process", ref);
  await ledger.acquire("other", "process", "7");
  await ledger.seenGone("vm", [{ kind: "process", ref: "7" }]);
  const seen = (await ledger.of("vm")).map(({ ref, seenGoneAt }) => `${ref} ${seenGoneAt === null ? "held" : "gone"}`);
  expect(seen.toSorted()).toEqual(["7 gone", "8 held"]);
  expect((await ledger.held()).map(({ vmId, ref }) => `${vmId} ${ref}`).toSorted()).toEqual(["other 7", "vm 8"]);
});

test("a thing that was gone and is made again is held again", async () => {
  const ledger = await ledgerOf();
  await ledger.acquire("vm", "tap", "sp-vm");
  await ledger.seenGone("vm", [{ kind: "tap", ref: "sp-vm" }]);
  expect(await ledger.held()).toEqual([]);
  await ledger.acquire("vm", "tap", "sp-vm");
  expect(await ledger.held()).toMatchObject([{ kind: "tap", ref: "sp-vm" }]);
});

test.each([
  ["nothing is left", [], ["process 7", "process 8", "tap sp-vm"]],
  ["one of two", [{ kind: "process", ref: "8" }], ["process 7", "tap sp-vm"]],
  ["one that nobody recorded keeps all of its kind", [{ kind: "process", ref: "9" }], ["tap sp-vm"]],
  ["one whose name nobody knows keeps all of its kind", [{ kind: "tap" }], ["process 7", "process 8"]],
  ["one of a kind of which there is no row", [{ kind: "chroot", ref: "x" }], ["process 7", "process 8", "tap sp-vm"]],
])("seen gone: %s", (_, left, gone) => {
  const rows = [
    { kind: "process", ref: "7" },
    { kind: "process", ref: "8" },
    { kind: "tap", ref: "sp-vm" },
  ];
  expect(rowsGone(rows, left).map(({ kind, ref }) => `${kind} ${ref}`)).toEqual(gone);
});
