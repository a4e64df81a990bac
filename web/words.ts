/** Pure: what the page says. */
import type { StartStage, SessionState } from "../src/contract/session.ts";
import type { Refused, Viewing } from "./api.ts";

const STATES: Record<SessionState, string> = {
  requested: "Waiting for its turn",
  starting: "Starting",
  ready: "Ready",
  active: "Connected",
  completing: "Being destroyed",
  destroyed: "Destroyed",
  failed: "Failed",
  lost: "Lost",
};

const STAGES: Record<StartStage, string> = {
  leased: "getting an address",
  "vmm-up": "starting the machine",
  kernel: "starting the kernel",
  agent: "starting the system",
  addressed: "setting up the network",
  reachable: "checking the network",
  display: "starting the screen",
  browser: "starting Firefox",
  restored: "waking up a machine",
  identity: "making it yours",
  joined: "connecting it to the network",
  screen: "checking the screen",
};

/** One or two words for the strip. */
export const stateWords = ({ state, warning }: Pick<Viewing, "state" | "warning">): string =>
  warning && canBeWatched(state) ? "Not answering" : STATES[state];

/** What is being waited for, before there is anything to see. */
export const waitingSentence = ({
  state,
  stage,
  progress,
  warning,
}: Pick<Viewing, "state" | "stage" | "progress" | "warning">): string => {
  if (state === "requested") return "Waiting for a machine to be free…";
  if (!stage) return "Starting the browser…";
  const step = `Step ${progress.passed + 1} of ${progress.of}: ${STAGES[stage]}…`;
  return warning ? `${step} It takes longer than it should. ${warning}` : step;
};

export const canBeWatched = (state: SessionState): boolean => state === "ready" || state === "active";

export interface Words {
  title: string;
  text: string;
}

export const DESTROYING: Words = { title: "Almost done", text: "The browser is being destroyed…" };

/** The end, from the server's 404 or 410. `wasPaired`: the person was in front of this very session before. */
export const endWords = (refused: Pick<Refused, "code" | "sentences">, wasPaired: boolean): Words => {
  if (refused.code === "session-failed") return { title: "The browser failed", text: refused.sentences };
  if (!wasPaired) return { title: "There is no browser here", text: refused.sentences };
  return {
    title: "The browser has been destroyed",
    text: "Nothing of it was kept. Your terminal says how it ended; you can close this page.",
  };
};

/** Whole minutes, and seconds as well in the last two. */
export const timeLeft = (ms: number): string => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min left`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
};

/**
 * The code as the terminal prints it, from whatever was typed: case, blanks and hyphens do not matter, and the letters
 * that the alphabet leaves out are read as the digits they look like. Undefined when it cannot be one.
 */
export const pairingCodeOf = (typed: string): string | undefined => {
  const plain = typed.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  return /^[0-9A-HJKMNP-TV-Z]{8}$/.test(plain) ? `${plain.slice(0, 4)}-${plain.slice(4)}` : undefined;
};
