/** The strip outside the pixels: what this is, for whom, how long, and that it can be ended. A page in the guest cannot draw here. */
import type { Viewing } from "./api.ts";
import { byId, show } from "./dom.ts";
import { stateWords, timeLeft } from "./words.ts";

let shown: Viewing | undefined;

export const showStrip = (view: Viewing): void => {
  shown = view;
  setText("provider", view.provider);
  setText("user", view.userId);
  setText("state", stateWords(view));
  byId("state").dataset["state"] = view.state;
  setText("opened-host", view.openedHost ?? "");
  show("opened", Boolean(view.openedHost));
  show("facts", true);
  show("destroy-area", true);
  tickStrip();
};

/** Once a second: the time left, which no screen reader should read out each time. */
export const tickStrip = (): void => {
  if (shown) setText("time-left", timeLeft(shown.leftMs - (performance.now() - shown.receivedAt)));
};

/** Nothing is left to count down or to destroy. */
export const endStrip = (): void => {
  shown = undefined;
  show("destroy-area", false);
  show("time-left", false);
  setText("state", "Over");
  delete byId("state").dataset["state"];
};

/** Only when it changes, so that a live region speaks once. */
const setText = (id: string, text: string): void => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};
