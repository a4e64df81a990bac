/** Links in a controller's answer are shown to a person: they lead to that controller or are not used. */
import type { StartResponse } from "../contract/api.ts";
import { AppError } from "../lib/errors.ts";
import { withoutUser } from "../lib/redact.ts";

/** Throws AppError `link-foreign` for a link whose origin is not that of `publicUrl`. */
export const checkLinks = ({ novncURL, links }: StartResponse, publicUrl: string): void => {
  const expected = originOf(publicUrl);
  const foreign = [novncURL, ...Object.values(links)].find(
    (link) => expected === undefined || originOf(link) !== expected,
  );
  if (foreign === undefined) return;
  const sentence = `The controller's answer leads to ${originOf(foreign) ?? "no address at all"}, but its viewers are to find it at ${withoutUser(publicUrl)}.`;
  throw new AppError("unprocessable", "link-foreign", sentence, {
    hint: "Nothing was opened. If that is its address, say so: --public-url, SALLYPORT_PUBLIC_URL or publicUrl in the local configuration.",
  });
};

/** Undefined for what is no web address, or has a user's name before its host, which reads like one host and is another. */
const originOf = (link: string): string | undefined => {
  const { protocol, origin, username, password } = URL.canParse(link) ? new URL(link) : new URL("about:blank");
  return /^https?:$/.test(protocol) && username === "" && password === "" ? origin : undefined;
};
