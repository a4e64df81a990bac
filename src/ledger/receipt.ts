/** Proof of destruction: what a microVM owned and when each thing was seen gone, signed with this host's Ed25519 key. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Receipt, ReceiptBody } from "../contract/session.ts";
import { canonicalJson } from "../lib/canonical-json.ts";
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
  signature: sign(null, Buffer.from(canonicalJson(body)), key).toString("base64"),
});

/** Whether `publicKey` (PEM; by default the one in the receipt, which proves integrity but not origin) signed the body. */
export const verifyReceipt = (receipt: Receipt, publicKey = receipt.publicKey): boolean => {
  const key = createPublicKey(publicKey);
  return (
    key.asymmetricKeyType === "ed25519" &&
    verify(null, Buffer.from(canonicalJson(receipt.body)), key, Buffer.from(receipt.signature, "base64"))
  );
};
