/** Where `login --token-file` keeps what an issuer gave: one JSON file, 0600, replaced whole. */
import { constants } from "node:fs";
import { access, lstat, readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { jsonOf } from "../lib/json.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { Account, Tokens } from "./flow.ts";

const storedAccount = z.object({ account: z.object({ issuer: z.string(), sub: z.string() }) });

/** What can be known before anybody signs in. Throws AppError `token-file-unusable`. */
export const checkTokenFile = async (file: string): Promise<void> => {
  try {
    await access(dirname(resolve(file)), constants.W_OK);
    const status = await unlessMissing(lstat(file), undefined);
    if (status && !status.isFile()) throw new Error("it is a link, a folder or a device");
    if (status && status.uid !== process.getuid?.()) throw new Error("it belongs to another user");
  } catch (cause) {
    throw new AppError("invalid", "token-file-unusable", `Tokens cannot be stored in ${file}: ${messageOf(cause)}.`, {
      hint: "Give a file in a folder of your own.",
      cause,
    });
  }
};

/**
 * Writes tokens so that nobody ever sees half of them, another mode, or them in another place. Throws AppError `token-file-unusable`, `token-file-taken` (by another account).
 */
export const writeTokenFile = async (file: string, account: Account, tokens: Tokens): Promise<void> => {
  await checkTokenFile(file);
  await refuseOtherAccount(file, account);
  writeFileAtomically(file, `${JSON.stringify({ account, ...tokens }, null, 2)}\n`);
};

/** A login swapped under somebody's tools would make them work for whoever signed in (login CSRF). */
const refuseOtherAccount = async (file: string, { issuer, sub, name }: Account): Promise<void> => {
  const text = await unlessMissing(readFile(file, "utf8"), undefined);
  if (text === undefined) return;
  const stored = storedAccount.safeParse(jsonOf(text));
  if (stored.success && stored.data.account.issuer === issuer && stored.data.account.sub === sub) return;
  const held = stored.success ? `the tokens of another account (${stored.data.account.sub})` : "something else";
  const sentence = `${file} holds ${held}; ${name} signed in now, and nothing was written.`;
  throw new AppError("conflict", "token-file-taken", sentence, {
    hint: `If that is meant, move ${file} away and sign in again.`,
  });
};
