/** What a guest says its browser sent is the guest's word: only what a redirect to the tool can be is played to the tool. */
import type { CaughtRequest } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import type { Callback } from "../handover/url-check.ts";

const METHODS = ["GET", "POST"];
/** They frame or redirect the connection; no browser sends them with a redirect. */
const REFUSED_HEADERS = ["transfer-encoding", "upgrade", "trailer", "te", "expect", "proxy-authorization"];

/** Throws AppError `callback-refused` saying what is odd. */
export const checkCaught = (caught: CaughtRequest, { port, path }: Callback): void => {
  const headers = headerPairs(caught.rawHeaders).map(([name, value]) => [name.toLowerCase(), value] as const);
  const valuesOf = (name: string): string[] => headers.filter(([key]) => key === name).map(([, value]) => value);
  const hosts = ["localhost", "127.0.0.1", "[::1]"].map((host) => `${host}:${port}`);
  const lengths = valuesOf("content-length");
  const odd = [
    METHODS.includes(caught.method) ? undefined : `the method ${caught.method}`,
    caught.target.split("?")[0] === path ? undefined : "another path",
    valuesOf("host").length === 1 && hosts.includes(valuesOf("host")[0] ?? "") ? undefined : "another host",
    lengths.length > 1 || Number(lengths[0] ?? 0) !== caught.body.length
      ? "a length that is not the body's"
      : undefined,
    headers.find(([name]) => REFUSED_HEADERS.includes(name))?.[0],
  ].filter((reason) => reason !== undefined);
  if (odd.length === 0) return;
  const sentence = `What came back from the browser is no redirect to the tool: ${odd.join(", ")}.`;
  throw new AppError("unprocessable", "callback-refused", sentence, {
    hint: "The guest may have been taken over by a page. Nothing was passed to the tool; start a new sign-in.",
  });
};

/** Of Node's flat list. */
export const headerPairs = (rawHeaders: string[]): [name: string, value: string][] =>
  rawHeaders.flatMap((name, index): [string, string][] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""]] : [],
  );
