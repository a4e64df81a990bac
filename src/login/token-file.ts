/** Where `login --token-file` keeps what an issuer gave: one JSON file, 0600, replaced whole. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, lstat, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import type { Account, Tokens } from "./flow.ts";

const storedAccount = z.object({ account: z.object({ issuer: z.string(), sub: z.string() }) });

/** What can be known before anybody signs in. Throws AppError `token-file-unusable`. */
export const checkTokenFile = async (file: string): Promise<void> => {
  try {
    await access(dirname(resolve(file)), constants.W_OK);
    const status = await lstat(file).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    });
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
 * Writes tokens so that nobody ever sees half of them or another mode: a new file of our own, flushed, then renamed.
 * A link in its place is replaced and not followed. Throws AppError `token-file-unusable`, `token-file-taken` (by another account).
 */
export const writeTokenFile = async (file: string, account: Account, tokens: Tokens): Promise<void> => {
  await checkTokenFile(file);
  await refuseOtherAccount(file, account);
  const temporary = `${resolve(file)}.${randomBytes(6).toString("hex")}`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(temporary, flags, 0o600);
  try {
    await handle.writeFile(`${JSON.stringify({ account, ...tokens }, null, 2)}\n`);
    await handle.sync();
    await handle.close();
    await rename(temporary, file);
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
};

/** A login swapped under somebody's tools would make them work for whoever signed in (login CSRF). */
const refuseOtherAccount = async (file: string, { issuer, sub, name }: Account): Promise<void> => {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  const stored = storedAccount.safeParse(parseOrUndefined(text));
  if (stored.success && stored.data.account.issuer === issuer && stored.data.account.sub === sub) return;
  const held = stored.success ? `the tokens of another account (${stored.data.account.sub})` : "something else";
  throw new AppError(
    "conflict",
    "token-file-taken",
    `${file} holds ${held}; ${name} signed in now, and nothing was written.`,
    {
      hint: `If that is meant, move ${file} away and sign in again.`,
    },
  );
};

const parseOrUndefined = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};
