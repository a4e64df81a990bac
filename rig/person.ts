/** Plays the viewer: a headless Chromium that sees only pixels and has only a pointer and a keyboard, as a person has. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { AppError } from "../src/lib/errors.ts";
import { poll } from "../src/lib/wait.ts";
import { BOXES, type Box, type PageName } from "./identity-pages.ts";
import { findScreen, type Band, type Screen } from "./screen.ts";

export interface PersonOptions {
  viewerUrl: string;
  pairingCode: string;
  userName: string;
  password: string;
  signal: AbortSignal;
  /** So many times what things take on a machine of their own; default 1. */
  patience?: number;
  log: (line: string) => void;
  /** Gets a PNG at each step. */
  screenshotDir?: string;
}

type Waiting = Pick<PersonOptions, "signal" | "patience">;

/** The microVM boots, possibly under emulation, between the pairing code and the first picture. */
const SCREEN_TIMEOUT_MS = 300_000;
const PAGE_TIMEOUT_MS = 180_000;
/** How long a field may take to show what was typed, and a page to give way to the next. */
const REACTION_TIMEOUT_MS = 30_000;
const ATTEMPTS = 3;

/**
 * Types the pairing code into the viewer page, then user name and password into the identity provider's page on the remote
 * screen, and consents. Resolves once the consent page has gone. Throws AppError `deadline` naming what did not appear,
 * `person-refused` when the sign-in does not get past a page, or the signal's reason.
 */
export const playPerson = async (options: PersonOptions): Promise<void> => {
  const { signal } = options;
  signal.throwIfAborted();
  const profile = await mkdtemp(join(tmpdir(), "sallyport-person-"));
  const browser = await chromium.launchPersistentContext(profile, CHROMIUM);
  const close = (): void => void browser.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    const page = browser.pages()[0] ?? (await browser.newPage());
    const note = await createNotebook(page, options);
    await pair(page, options);
    await note("paired");
    const screen = await findScreen(page, SCREEN_TIMEOUT_MS * patienceOf(options), signal);
    await note("screen");
    await signIn(screen, options, note);
    await consent(screen, options);
    await note("consented");
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  }
};

const CHROMIUM = {
  executablePath: "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1400, height: 1000 },
  // Playwright would end our whole process at a signal, before anything is cleaned up.
  handleSIGINT: false,
  handleSIGTERM: false,
  handleSIGHUP: false,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
  ],
};

type Note = (step: string) => Promise<void>;

/** Says each step, and keeps its picture where one wants it. */
const createNotebook = async (page: Page, { log, screenshotDir }: PersonOptions): Promise<Note> => {
  if (screenshotDir) await mkdir(screenshotDir, { recursive: true });
  let count = 0;
  return async (step) => {
    log(`person: ${step}`);
    count += 1;
    if (!screenshotDir) return;
    await page.screenshot({ path: join(screenshotDir, `${String(count).padStart(2, "0")}-${step}.png`) });
  };
};

const patienceOf = ({ patience = 1 }: Waiting): number => patience;

const pair = async (page: Page, options: PersonOptions): Promise<void> => {
  const limit = { timeout: REACTION_TIMEOUT_MS * patienceOf(options) };
  await page.goto(options.viewerUrl, limit);
  await page.locator("#pairing-code").fill(options.pairingCode, limit);
  await page.locator("#pair").click(limit);
};

const signIn = async (screen: Screen, options: PersonOptions, note: Note): Promise<void> => {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const band = await waitForPage(screen, "login", options);
    await note("login-page");
    await fill(screen, band, BOXES.userName, options.userName, options);
    await screen.press("Tab");
    await fill(screen, band, BOXES.password, options.password, options, { isFocused: true });
    await note("filled");
    await screen.press("Enter");
    if (await hasLeft(screen, "login", options)) return;
    await note("still-login-page");
  }
  throw new AppError("unprocessable", "person-refused", "The identity provider did not accept user name and password.");
};

const consent = async (screen: Screen, options: Waiting): Promise<void> => {
  const band = await waitForPage(screen, "consent", options);
  await screen.press("Enter");
  if (await hasLeft(screen, "consent", options)) return;
  // The button had lost the focus: then the pointer.
  await screen.click(band, BOXES.submit);
  if (await hasLeft(screen, "consent", options)) return;
  throw new AppError("unprocessable", "person-refused", "The consent page did not react to its button.");
};

/** Types into a field until something is to be seen there. */
const fill = async (
  screen: Screen,
  band: Band,
  box: Box,
  text: string,
  options: Waiting,
  { isFocused = false } = {},
): Promise<void> => {
  if (!isFocused) await screen.click(band, box);
  // What a first attempt left in the field goes.
  await screen.press("Control+a");
  await screen.type(text);
  await poll(async () => ((await screen.inkIn(band, box)) >= INK_PER_LETTER * text.length ? true : undefined), {
    what: "the typed text to appear on the screen",
    timeoutMs: REACTION_TIMEOUT_MS * patienceOf(options),
    intervalMs: 250,
    signal: options.signal,
  });
};

/** Far fewer than the thinnest letter or the dot of a password field has, yet more in sum than a caret. */
const INK_PER_LETTER = 20;

/** Waits until a page's band stands in the same place in three looks running: the picture has settled. */
const waitForPage = (screen: Screen, wanted: PageName, options: Waiting): Promise<Band> => {
  let last: Band | undefined;
  let looks = 0;
  return poll(
    async () => {
      const band = await screen.look();
      if (band?.page === "error") {
        throw new AppError("unprocessable", "person-refused", "The identity provider shows its error page.");
      }
      const isSame = band?.page === wanted && band.bottom === last?.bottom && band.left === last.left;
      looks = isSame ? looks + 1 : 0;
      last = band?.page === wanted ? band : undefined;
      return looks >= 2 ? band : undefined;
    },
    {
      what: `the identity provider's ${wanted} page on the screen`,
      timeoutMs: PAGE_TIMEOUT_MS * patienceOf(options),
      intervalMs: 400,
      signal: options.signal,
    },
  );
};

/** Whether a page's band goes away in time. */
const hasLeft = async (screen: Screen, page: PageName, options: Waiting): Promise<boolean> => {
  try {
    await poll(async () => ((await screen.look())?.page === page ? undefined : true), {
      what: `the ${page} page to go`,
      timeoutMs: REACTION_TIMEOUT_MS * patienceOf(options),
      intervalMs: 250,
      signal: options.signal,
    });
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === "deadline") return false;
    throw error;
  }
};
