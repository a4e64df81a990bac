/**
 * The viewer page: code → waiting → screen → end. One loop asks the server for the session and shows what it says; the
 * screen appears when there is something to watch and goes when it is over.
 */
import { Refused, sessionApi, type Viewing } from "./api.ts";
import { byId, show } from "./dom.ts";
import { wireControls } from "./controls.ts";
import { askForCode } from "./pairing.ts";
import { openScreen, type Screen, type ScreenStatus } from "./screen.ts";
import { endStrip, showStrip, tickStrip } from "./strip.ts";
import { canBeWatched, DESTROYING, endWords, waitingSentence, type Words } from "./words.ts";

const POLL_MS = 3000;

const sessionId = /\/session\/([^/]+)\/novnc\/?$/.exec(location.pathname)?.[1] ?? "";
const api = sessionApi(decodeURIComponent(sessionId));
let screen: Screen | undefined;
/** Whether the server has told us of this session: what a later 410 means depends on it. */
let hasBeenSeen = false;

const main = async (): Promise<void> => {
  wireControls({ api, screen: () => screen, onDestroyed: () => wake() });
  setInterval(tickStrip, 1000);
  while (!(await refresh())) await pause();
};

let wake = (): void => {};
/** Until the next turn, or until something is known to have changed. */
const pause = (): Promise<void> =>
  new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, POLL_MS);
  });

/** Asks once and shows the answer; while this browser is not paired, asks for the code. Answers whether it is all over. */
const refresh = async (): Promise<boolean> => {
  try {
    return render(await api.viewing());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 404 || error.status === 410) return end(endWords(error, hasBeenSeen));
    if (error.status === 401) return pairAgain();
    sayTrouble(error);
    return false;
  }
};

const pairAgain = async (): Promise<boolean> => {
  screen?.close();
  screen = undefined;
  showPart("pairing");
  await askForCode(api);
  return refresh();
};

/** The next turn asks again; a screen that is up has words of its own. */
const sayTrouble = (error: Refused): void => {
  if (screen) return;
  showPart("waiting");
  byId("waiting-text").textContent = `${error.message} Trying again…`;
};

const render = (view: Viewing): boolean => {
  hasBeenSeen = true;
  showStrip(view);
  if (view.state === "completing") announce(DESTROYING);
  else if (canBeWatched(view.state)) {
    showPart("live");
    screen ??= openScreen(byId("screen"), api, showScreenStatus);
  } else showWaiting(view);
  return false;
};

const showWaiting = (view: Viewing): void => {
  showPart("waiting");
  byId("waiting-text").textContent = waitingSentence(view);
  const progress = byId("waiting-progress", HTMLProgressElement);
  const { passed, of } = view.progress;
  progress.max = of;
  if (view.stage === null) progress.removeAttribute("value");
  else progress.value = passed;
};

const showScreenStatus = (status: ScreenStatus): void => {
  show("screen-status", status.kind !== "connected");
  show("retry", status.kind === "given-up");
  // A lost connection is often the end of the session: find out now instead of at the next turn.
  if (status.kind === "retrying" || status.kind === "given-up") wake();
  const texts = { connecting: "Connecting…", connected: "", retrying: "Trying again…", "given-up": "" };
  const reason = "reason" in status ? `${status.reason} ` : "";
  byId("screen-text").textContent = `${reason}${texts[status.kind]}`.trim();
};

const end = (words: Words): true => {
  announce(words);
  endStrip();
  return true;
};

const announce = ({ title, text }: Words): void => {
  screen?.close();
  screen = undefined;
  if (byId("ended-title").textContent === title) return;
  byId("ended-title").textContent = title;
  byId("ended-text").textContent = text;
  showPart("ended");
  byId("ended").focus();
};

const PARTS = ["pairing", "waiting", "live", "ended"] as const;

const showPart = (part: (typeof PARTS)[number]): void => {
  for (const one of PARTS) show(one, one === part);
};

void main();
