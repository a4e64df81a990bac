import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { ReceiptBody } from "../contract/session.ts";
import { loadReceiptKey, signReceipt, verifyReceipt } from "./receipt.ts";

const body: ReceiptBody = {
  version: 1,
  sessionId: "ses_a",
  provider: "oidc",
  userId: "ada",
  vmId: "vm",
  imageDigest: "sha256:0",
  startedAt: "2026-01-01T00:00:00.000Z",
  destroyedAt: "2026-01-01T00:01:00.000Z",
  outcome: "signed-in",
  gone: [{ kind: "tap", ref: "sp-vm", acquiredAt: "2026-01-01T00:00:00.000Z", seenGoneAt: "2026-01-01T00:01:00.000Z" }],
};
const keyFile = () => join(mkdtempSync(join(tmpdir(), "sallyport-receipt-")), "key.pem");

describe("receipt", () => {
  test("verifies, also after a round trip through JSON with other key order", () => {
    const receipt = signReceipt(body, loadReceiptKey(keyFile()));
    const shuffled = { ...receipt, body: Object.fromEntries(Object.entries(receipt.body).toReversed()) as ReceiptBody };
    expect(verifyReceipt(shuffled)).toBe(true);
  });

  test("a changed time, a removed line or another host's key does not verify", () => {
    const receipt = signReceipt(body, loadReceiptKey(keyFile()));
    expect(verifyReceipt({ ...receipt, body: { ...body, destroyedAt: "2026-01-01T00:00:30.000Z" } })).toBe(false);
    expect(verifyReceipt({ ...receipt, body: { ...body, gone: [] } })).toBe(false);
    const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    expect(verifyReceipt(receipt, other)).toBe(false);
  });

  test("the key is made once, readable by its owner only", () => {
    const file = keyFile();
    const first = loadReceiptKey(file).export({ type: "pkcs8", format: "pem" });
    expect(loadReceiptKey(file).export({ type: "pkcs8", format: "pem" })).toBe(first);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
