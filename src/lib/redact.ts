/**
 * What must not leave with text that a guest wrote or that quotes it: queries and fragments of URLs, where authorization codes and
 * tokens travel, and what is a credential by its looks. A net below the walls, not a wall: a guest that wants to betray what it
 * knows can write it in any other form.
 */
export const redactText = (text: string): string =>
  PATTERNS.reduce(
    (shown, [pattern, by]) => (typeof by === "string" ? shown.replace(pattern, by) : shown.replace(pattern, by)),
    text,
  );

/** An address as somebody typed it, without the user and password before its host: for a sentence that refuses it. */
export const withoutUser = (url: string): string => url.replace(/^(\w+:\/\/)?.*@/s, "$1[cut]@");

/** The same for every string in a JSON value. */
export const redactValue = (value: unknown): unknown => mapStrings(value, redactText);

/** A JSON value with other strings; keys stay. */
export const mapStrings = (value: unknown, change: (text: string) => string): unknown => {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((inner) => mapStrings(inner, change));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapStrings(inner, change)]));
};

/** Each is tried at few places and takes what it began to read at once: a guest chooses the text, and must not make the host go back. */
const PATTERNS: [RegExp, string | ((match: string) => string)][] = [
  // What follows the mark of a cut console may be the second half of anything.
  [/(\[sallyport: at least \d{1,15} bytes cut out here\]\r?\n)\S+/g, "$1[cut]"],
  [/:\/\/[^\s"'<>]+/g, (rest) => withoutSecrets(rest)],
  // A request's target without its host.
  [/\?[^\s"'<>?=]+=[^\s"'<>]*/g, "?[cut]"],
  [
    /\b(access_token|id_token|refresh_token|client_secret|code_verifier|password)(["']?\s{0,64}[=:]\s{0,64}["']?)[^\s"'&;,]+/gi,
    "$1$2[cut]",
  ],
  [/\b(Bearer|Basic)\s{1,64}[\w+/=.~-]{8,}/gi, "$1 [cut]"],
  // JSON Web Tokens, and our own API keys.
  [/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, (token) => (token.includes(".") ? "[cut]" : token)],
  [/\bsally_[\w-]{16,}/g, "[cut]"],
];

/** The rest of a URL behind its scheme, without who signs in and without query and fragment. */
const withoutSecrets = (rest: string): string => {
  const end = rest.search(/[?#]/);
  const shown = end < 0 ? rest : `${rest.slice(0, end)}?[cut]`;
  const [authority = ""] = /^:\/\/[^/?]*/.exec(shown) ?? [];
  const at = authority.lastIndexOf("@");
  return at < 0 ? shown : `://[cut]${shown.slice(at)}`;
};
