import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { AppError, messageOf } from "../lib/errors.ts";

/** Certificate and key as a server takes them, tried together. Throws AppError `tls-unusable`. */
export const readTls = (files: { certificate: string; key: string }): { cert: Buffer; key: Buffer } => {
  try {
    const pair = { cert: readFileSync(files.certificate), key: readFileSync(files.key) };
    createSecureContext(pair);
    // OpenSSL compares them only where they are of one kind.
    const isPair = new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key));
    if (!isPair) throw new Error("the key is not this certificate's");
    return pair;
  } catch (cause) {
    const sentence = `TLS cannot be had with ${files.certificate} and ${files.key}: ${messageOf(cause)}.`;
    throw new AppError("invalid", "tls-unusable", sentence, {
      hint: "tls.certificate is a PEM file with the server's certificate first and those that vouch for it after it, tls.key one with its private key, without a password.",
      cause,
    });
  }
};
