/** The one Firefox on the display: whether it is there, and sending it to an address. */
import type { GuestResult } from "../contract/guest.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { run } from "../lib/exec.ts";
import { browserPid } from "./browser-processes.ts";

export interface BrowserOptions {
  root: string;
  /** The one address besides https that may be opened. */
  waitingPageUrl: string;
  runProgram: typeof run;
}

const PROGRAM = "firefox-esr";
/** About one second under emulation on an idle host. */
const COMMAND_TIMEOUT_MS = 30_000;

/** That of sallyport-browser.service; the session bus is found through XDG_RUNTIME_DIR. */
const BROWSER_ENV = { PATH: "/usr/bin:/bin", DISPLAY: ":1", HOME: "/home/browser", XDG_RUNTIME_DIR: "/run/browser" };

export const createBrowser = ({ root, waitingPageUrl, runProgram }: BrowserOptions) => {
  let paintedBy: Promise<number | undefined> | undefined;

  const state = async (): Promise<GuestResult<"health">["browser"]> => {
    const pid = await browserPid(root);
    if (pid === undefined) return "absent";
    return (await paintedBy) === pid ? "painted" : "running";
  };

  /**
   * As when any program opens a link: a second Firefox process finds the running one on the user's session bus, passes the
   * address on, which a policy sends to the current tab, and ends. Throws AppError `url-refused`, `browser-absent`, or
   * `open-failed` when Firefox did not take the address.
   */
  const open = async (text: string): Promise<Record<string, never>> => {
    const url = allowedUrl(text, waitingPageUrl);
    if ((await browserPid(root)) === undefined) {
      throw new AppError("unavailable", "browser-absent", "The browser is not running yet.", {
        hint: "Wait until health says that it is.",
      });
    }
    const args = ["--reuid=1000", "--regid=1000", "--clear-groups", "--", PROGRAM, url];
    try {
      await runProgram("setpriv", args, { env: BROWSER_ENV, cwd: "/", timeoutMs: COMMAND_TIMEOUT_MS });
    } catch (cause) {
      const sentence = `Firefox did not take the address: ${messageOf(cause)}`;
      throw new AppError("unavailable", "open-failed", sentence, { cause });
    }
    return {};
  };

  return {
    state,
    open,
    /** The waiting page was drawn by the Firefox that runs now. */
    notePainted: () => {
      // Not knowing who painted counts as not painted.
      paintedBy = browserPid(root).catch(() => undefined);
    },
  };
};

/** https or the waiting page itself, in the form the URL standard gives it: no white space, no leading dash. */
const allowedUrl = (text: string, waitingPageUrl: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && (url.protocol === "https:" || url.href === waitingPageUrl)) return url.href;
  throw new AppError("unprocessable", "url-refused", "Only https addresses are opened in the guest's browser.");
};
