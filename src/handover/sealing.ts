/**
 * Hands a secret from the guest to the requester past everything in between, and the tool's answer back.
 *
 *     requester                                            guest
 *     createRecipient() ── publicKey, shown to a person ──▶ sealTo()
 *     recipient.open()  ◀─────────── Sealed ───────────────┘
 *       └ sealAnswer()  ─────────── sealedAnswer ─────────▶ openAnswer()
 *
 * HPKE (RFC 9180), base mode, one fixed suite, no negotiation. The way back needs no second key: both ends export a secret
 * from the HPKE context, as Oblivious HTTP does (RFC 9458 §4.4), so an answer fits the one box it was made for.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import {
  AEAD_AES_256_GCM,
  CipherSuite,
  KDF_HKDF_SHA256,
  KEM_DHKEM_X25519_HKDF_SHA256,
  type RecipientContext,
  type SenderContext,
} from "hpke";
import type { Sealed, SealingContext } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { kernelBytes } from "../lib/kernel-bytes.ts";

export type Recipient = Awaited<ReturnType<typeof createRecipient>>;
export type SealedBox = Awaited<ReturnType<typeof sealTo>>;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const INFO = utf8("sallyport/credential/v1");
const ANSWER_EXPORT = utf8("sallyport/answer/v1");
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/**
 * The same for who seals, which a guest does: its process may be a copy of one that others are copies of, too, with the state of its
 * random generator. So the key of a box is made of the kernel's bytes of this moment (`renew` of contract/guest.ts sees to those).
 */
const senderKem: typeof KEM_DHKEM_X25519_HKDF_SHA256 = () => {
  const kem = KEM_DHKEM_X25519_HKDF_SHA256();
  return { ...kem, GenerateKeyPair: async (extractable) => kem.DeriveKeyPair(await kernelBytes(64), extractable) };
};
const senderSuite = new CipherSuite(senderKem, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/** Makes a fresh key pair in memory: one per session, never stored. */
export const createRecipient = async () => {
  const keyPair = await suite.GenerateKeyPair();
  const publicKey = toBase64(await suite.SerializePublicKey(keyPair.publicKey));
  return {
    /** Raw X25519 public key, base64. The private key is not extractable and never leaves this process. */
    publicKey,
    /** Throws AppError `key-mismatch` (bound to another key) or `box-refused` (other context, or changed on the way). */
    open: async (box: Sealed, context: SealingContext) => {
      assertKeyOf(context, publicKey);
      const enc = Buffer.from(box.enc, "base64");
      try {
        const hpke = await suite.SetupRecipient(keyPair, enc, { info: INFO });
        const plaintext = await hpke.Open(Buffer.from(box.ciphertext, "base64"), sealingAad(context));
        return { plaintext, sealAnswer: async (answer: Uint8Array) => sealAnswer(hpke, enc, context, answer) };
      } catch (cause) {
        throw new AppError(
          "unprocessable",
          "box-refused",
          "The sealed result does not fit this sign-in: it belongs to another session, or was changed on its way.",
          { cause, hint: "Start the sign-in again; nothing of this result was used." },
        );
      }
    },
  };
};

/** Seals to a recipient's raw public key. Throws AppError `recipient-key-invalid` or `key-mismatch`. */
export const sealTo = async (recipientKeyBase64: string, context: SealingContext, plaintext: Uint8Array) => {
  assertKeyOf(context, recipientKeyBase64);
  const { encapsulatedSecret: enc, ctx: hpke } = await setupSender(recipientKeyBase64);
  const ciphertext = await hpke.Seal(plaintext, sealingAad(context));
  return {
    sealed: { enc: toBase64(enc), ciphertext: toBase64(ciphertext) },
    openAnswer: async (sealedAnswer: string) => openAnswer(hpke, enc, context, sealedAnswer),
  };
};

/** SHA-256 of the raw public key, base64url: what a box is bound to. */
export const keyThumbprint = (publicKeyBase64: string): string => digestOf(publicKeyBase64).toString("base64url");

/** First 64 bits of the same digest as `xxxx xxxx xxxx xxxx`: for a person to compare between terminal and waiting page. */
export const keyFingerprint = (publicKeyBase64: string): string =>
  (digestOf(publicKeyBase64).toString("hex").slice(0, 16).match(/.{4}/g) ?? []).join(" ");

/** The context as bytes: a JSON array of strings in fixed order, so that no two contexts share one form. */
export const sealingAad = (context: SealingContext): Uint8Array =>
  utf8(JSON.stringify([context.sessionId, context.provider, context.userId, context.keyThumbprint, context.expiresAt]));

const setupSender = async (recipientKeyBase64: string) => {
  try {
    const publicKey = await senderSuite.DeserializePublicKey(Buffer.from(recipientKeyBase64, "base64"));
    return await senderSuite.SetupSender(publicKey, { info: INFO });
  } catch (cause) {
    throw new AppError("invalid", "recipient-key-invalid", "The recipient key is not a usable X25519 public key.", {
      cause,
      hint: "Send the 32 raw bytes of a freshly made public key as base64.",
    });
  }
};

/** A context naming one key and a box made for another is what a swapped key looks like. */
const assertKeyOf = (context: SealingContext, publicKeyBase64: string): void => {
  if (context.keyThumbprint === keyThumbprint(publicKeyBase64)) return;
  throw new AppError("unprocessable", "key-mismatch", "The session is bound to another recipient key than this one.", {
    hint: "Start the sign-in again; if it happens again, somebody between terminal and guest replaces the key.",
  });
};

/** RFC 9458 §4.4 with our context as associated data: the exported secret depends on the key exchange alone. */
const answerKeys = async (hpke: SenderContext | RecipientContext, enc: Uint8Array, responseNonce: Uint8Array) => {
  const secret = await hpke.Export(ANSWER_EXPORT, KEY_BYTES);
  const salt = Buffer.concat([enc, responseNonce]);
  const derive = (label: string, length: number) => Buffer.from(hkdfSync("sha256", secret, salt, label, length));
  return { key: derive("key", KEY_BYTES), nonce: derive("nonce", NONCE_BYTES) };
};

/** Seals the tool's answer to the guest that made the box; base64. */
const sealAnswer = async (hpke: RecipientContext, enc: Uint8Array, context: SealingContext, answer: Uint8Array) => {
  const responseNonce = randomBytes(KEY_BYTES);
  const { key, nonce } = await answerKeys(hpke, enc, responseNonce);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(sealingAad(context));
  return toBase64(Buffer.concat([responseNonce, cipher.update(answer), cipher.final(), cipher.getAuthTag()]));
};

/** Throws AppError `answer-refused` when the answer was made for another box, or changed on the way. */
const openAnswer = async (hpke: SenderContext, enc: Uint8Array, context: SealingContext, sealedAnswer: string) => {
  const bytes = Buffer.from(sealedAnswer, "base64");
  try {
    const { key, nonce } = await answerKeys(hpke, enc, bytes.subarray(0, KEY_BYTES));
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(sealingAad(context)).setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(KEY_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    const sentence =
      "The sealed answer does not fit the request that was caught: it was made for another one, or changed on its way.";
    throw new AppError("unprocessable", "answer-refused", sentence, { cause });
  }
};

const digestOf = (publicKeyBase64: string): Buffer =>
  createHash("sha256").update(Buffer.from(publicKeyBase64, "base64")).digest();

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
