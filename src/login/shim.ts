/**
 * A browser that opens nothing: programs under the names that tools look for, which hand the address over and end at once.
 * No single hook works for all (Rust's webbrowser and Python read BROWSER, Go's and most Node tools call xdg-open).
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { unlessMissing } from "../lib/unless-missing.ts";
import { MAX_URL_LENGTH } from "../handover/url-check.ts";

export type Shim = Awaited<ReturnType<typeof createShim>>;

const NAMES = ["sallyport-browser", "xdg-open", "x-www-browser"];

/**
 * Takes the first argument that is an address, as some tools put options before it. The hard link makes the first call win
 * and shows the file only when it is whole; later calls succeed without effect, as one address is opened per session.
 */
const SCRIPT = `#!/bin/sh
directory=\${0%/*}
for argument; do
  case $argument in
    http://*|https://*)
      umask 077
      file=$(mktemp "$directory/.url.XXXXXX") || exit 1
      printf '%s' "$argument" | head -c ${MAX_URL_LENGTH + 1} > "$file"
      ln "$file" "$directory/url" 2>/dev/null
      rm -f "$file"
      exit 0 ;;
  esac
done
echo "sallyport: no address to open was given" >&2
exit 2
`;

/** Makes the folder (0700, for this user only). `path` is the PATH that the tool would have had. */
export const createShim = async (path: string) => {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-browser-"));
  for (const name of NAMES) {
    await writeFile(join(directory, name), SCRIPT);
    await chmod(join(directory, name), 0o700);
  }
  return {
    /** What the tool's environment gets. */
    env: { BROWSER: join(directory, "sallyport-browser"), PATH: [directory, path].join(delimiter) },
    /** The address that was handed over; undefined as long as none was. */
    url: () => unlessMissing(readFile(join(directory, "url"), "utf8"), undefined),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
};
