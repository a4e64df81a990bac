/** Proof of destruction: what a microVM owned and when each thing was seen gone, signed with this host's Ed25519 key. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from "node:crypto";
import canonicalize from "canonicalize";
import type { Receipt, ReceiptBody } from "../contract/session.ts";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError } from "../lib/errors.ts";
import { readKeyFile } from "../lib/key-file.ts";

/** The host's signing key; made at first start, mode 0600. Throws AppError `receipt-key-unusable`. */
export const loadReceiptKey = (file: string): KeyObject => {
  const pem = readKeyFile(file);
  if (pem === undefined) {
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileAtomically(file, privateKey.export({ type: "pkcs8", format: "pem" }));
    return privateKey;
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new AppError("internal", "receipt-key-unusable", `The key that signs receipts, ${file}, is no private key.`, {
      hint: "Restore it from a copy; or move it away for a new one: old receipts then no longer match this host's key.",
      cause,
    });
  }
};

export const signReceipt = (body: ReceiptBody, key: KeyObject): Receipt => ({
  body,
  publicKey: createPublicKey(key).export({ type: "spki", format: "pem" }).toString(),
  signature: sign(null, canonicalBytes(body), key).toString("base64"),
});

/** Whether `publicKey` (PEM; by default the one in the receipt, which proves integrity but not origin) signed the body. */
export const verifyReceipt = (receipt: Receipt, publicKey = receipt.publicKey): boolean => {
  const key = createPublicKey(publicKey);
  return (
    key.asymmetricKeyType === "ed25519" &&
    verify(null, canonicalBytes(receipt.body), key, Buffer.from(receipt.signature, "base64"))
  );
};

/** RFC 8785: the same bytes for the same body, whoever wrote the JSON. */
const canonicalBytes = (body: ReceiptBody): Buffer => Buffer.from(canonicalize(body) ?? "");
