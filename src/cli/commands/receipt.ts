import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { receipt as receiptShape, type Receipt } from "../../contract/session.ts";
import { verifyReceipt } from "../../handover/receipt.ts";
import { AppError, messageOf } from "../../lib/errors.ts";
import type { CliContext } from "../context.ts";

export const addReceipt = (program: Command, context: CliContext): void => {
  const group = program.command("receipt").description("signed proof of what was seen gone");
  group
    .command("show <session>")
    .description("print the receipt of a session, as JSON to be kept")
    .action(async (sessionId: string) => {
      const found = await context.client().receipt(sessionId);
      context.out.result(found, () => JSON.stringify(found, null, 2));
    });
  group
    .command("verify <file>")
    .description("check a receipt's signature")
    .option("--public-key <file>", "the host's key (PEM) that must have signed; default: the one in the receipt")
    .action((file: string, options: { publicKey?: string }) => verify(file, options.publicKey, context));
};

const verify = (file: string, keyFile: string | undefined, context: CliContext): void => {
  const signed = readReceipt(file);
  if (!isSignedBy(signed, keyFile)) {
    const sentence = `The receipt ${file} was changed, or signed by another host.`;
    const hint = "Do not rely on it. Ask the controller again: sallyport receipt show SESSION.";
    throw new AppError("unprocessable", "receipt-forged", sentence, { hint });
  }
  const { body } = signed;
  const keyFingerprint = fingerprintOf(signed.publicKey);
  context.out.result({ ok: true, keyFingerprint, isKeyPinned: keyFile !== undefined, body }, () => [
    `The receipt is genuine: session ${body.sessionId} of ${body.userId}, ${body.outcome}, destroyed ${body.destroyedAt}.`,
    ...body.gone.map(({ kind, ref, seenGoneAt }) => `  ${kind.padEnd(12)}${ref.padEnd(40)} seen gone ${seenGoneAt}`),
    keyFile === undefined
      ? `Signed with the key inside it, SHA-256 ${keyFingerprint}: compare that with the host's, or give --public-key.`
      : `Signed with the key in ${keyFile}.`,
  ]);
};

const readReceipt = (file: string): Receipt => {
  try {
    return receiptShape.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    const hint = "Give a file that sallyport receipt show SESSION has printed.";
    throw new AppError("invalid", "receipt-unreadable", `${file} is not a receipt.`, { hint, cause });
  }
};

const isSignedBy = (signed: Receipt, keyFile: string | undefined): boolean => {
  try {
    return verifyReceipt(signed, ...(keyFile === undefined ? [] : [readFileSync(keyFile, "utf8")]));
  } catch (cause) {
    const sentence = `The public key cannot be used: ${messageOf(cause)}.`;
    const hint = "Give the host's Ed25519 public key as PEM.";
    throw new AppError("invalid", "key-unreadable", sentence, { hint, cause });
  }
};

const fingerprintOf = (pem: string): string =>
  createHash("sha256")
    .update(createPublicKey(pem).export({ type: "spki", format: "der" }))
    .digest("hex");
