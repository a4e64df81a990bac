import { randomBytes, randomInt } from "node:crypto";

// Crockford's base 32 in lower case: no i, l, o, u, so that nothing is misread or spells a word.
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

const randomText = (length: number): string =>
  Array.from(randomBytes(length), (byte) => ALPHABET[byte % ALPHABET.length]).join("");

/** 130 bits of randomness: not guessable, though no id is ever a right by itself. */
export const newSessionId = (): string => `ses_${randomText(26)}`;

/** Of the machine with its data directory: the same at every start, and told to anybody. */
export const newHostId = (): string => `hst_${randomText(12)}`;
export const HOST_ID = /^hst_[0-9a-z]{12}$/;

/** 12 characters, so that its TAP's name fits the 15 that Linux allows for an interface (IFNAMSIZ). */
export const newVmId = (): string => randomText(12);

/** What the name of every microVM's TAP begins with. */
export const TAP_PREFIX = "sp-";

/** The microVM's TAP; the guest's own host name is the same. */
export const tapOf = (vmId: string): string => `${TAP_PREFIX}${vmId}`;

/** Names a key, gives no right. */
export const newKeyId = (): string => `key_${randomText(12)}`;

/** Bearer secret of 256 bits with a prefix that secret scanners can recognise. */
export const newApiKey = (): string => `sally_${newSecret()}`;

/** 256 bits for cookies and tickets. */
export const newSecret = (): string => randomBytes(32).toString("base64url");

/** `XXXX-XXXX`, 40 bits: typed by hand, five tries. */
export const newPairingCode = (): string => {
  const half = (): string => Array.from({ length: 4 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
  return `${half()}-${half()}`.toUpperCase();
};
