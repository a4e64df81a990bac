/**
 * What must not leave with text that a guest wrote or that quotes it: queries and fragments of URLs, where authorization codes and
 * tokens travel, and what is a credential by its looks. A net below the walls, not a wall: a guest that wants to betray what it
 * knows can write it in any other form.
 */
export const redactText = (text: string): string =>
  PATTERNS.reduce((shown, [pattern, replacement]) => shown.replace(pattern, replacement), text);

/** The same for every string in a JSON value; keys stay. */
export const redactValue = (value: unknown): unknown => {
  if (typeof value === "string") return redactText(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, redactValue(inner)]));
};

const PATTERNS: [RegExp, string][] = [
  // What follows the mark of a cut console may be the second half of anything.
  [/(\[sallyport: at least \d+ bytes cut out here\]\r?\n)\S+/g, "$1[cut]"],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>@]+@/gi, "$1[cut]@"],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, "$1?[cut]"],
  // A request's target without its host.
  [/\?[^\s"'<>?=]+=[^\s"'<>]*/g, "?[cut]"],
  [
    /\b(access_token|id_token|refresh_token|client_secret|code_verifier|password)(["']?\s*[=:]\s*["']?)[^\s"'&;,]+/gi,
    "$1$2[cut]",
  ],
  [/\b(Bearer|Basic)\s+[\w+/=.~-]{8,}/gi, "$1 [cut]"],
  // JSON Web Tokens, and our own API keys.
  [/\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)*/g, "[cut]"],
  [/\bsally_[\w-]{16,}/g, "[cut]"],
];
