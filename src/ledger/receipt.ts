/** Proof of destruction: what a microVM owned and when each thing was seen gone, signed with this host's Ed25519 key. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Receipt, ReceiptBody } from "../contract/session.ts";
import { errnoOf } from "../lib/errors.ts";

/** The host's signing key; made at first start, mode 0600. */
export const loadReceiptKey = (file: string): KeyObject => {
  try {
    return createPrivateKey(readFileSync(file));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx", flush: true });
    return privateKey;
  }
};

export const signReceipt = (body: ReceiptBody, key: KeyObject): Receipt => ({
  body,
  publicKey: createPublicKey(key).export({ type: "spki", format: "pem" }).toString(),
  signature: sign(null, canonicalJson(body), key).toString("base64"),
});

/** Whether `publicKey` (PEM; by default the one in the receipt, which proves integrity but not origin) signed the body. */
export const verifyReceipt = (receipt: Receipt, publicKey = receipt.publicKey): boolean => {
  const key = createPublicKey(publicKey);
  return (
    key.asymmetricKeyType === "ed25519" &&
    verify(null, canonicalJson(receipt.body), key, Buffer.from(receipt.signature, "base64"))
  );
};

/** Keys sorted at every level, no white space: the same bytes on every machine. */
export const canonicalJson = (value: unknown): Buffer => Buffer.from(JSON.stringify(sortKeys(value)));

const sortKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  );
};
