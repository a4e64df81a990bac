/** Buttons and keys around the screen. */
import type { SessionApi } from "./api.ts";
import { Refused } from "./api.ts";
import { byId, onClick, show } from "./dom.ts";
import { KEYSYM } from "./keysyms.ts";
import type { Screen } from "./screen.ts";

export interface Controls {
  api: SessionApi;
  screen: () => Screen | undefined;
  onDestroyed: () => void;
}

export const wireControls = ({ api, screen, onDestroyed }: Controls): void => {
  wireTyping(screen);
  wireWayOut();
  wireDestroy(api, onDestroyed);
  onClick("retry", () => screen()?.retry());
  onClick("enlarge", () => {
    const isEnlarged = byId("enlarge").getAttribute("aria-pressed") !== "true";
    byId("enlarge").setAttribute("aria-pressed", String(isEnlarged));
    screen()?.setEnlarged(isEnlarged);
  });
};

/** Characters go as keystrokes, so that a code from a telephone reaches a browser that has no clipboard of ours. */
const wireTyping = (screen: () => Screen | undefined): void => {
  byId("typing").addEventListener("submit", (event) => {
    event.preventDefault();
    const input = byId("keystrokes", HTMLInputElement);
    screen()?.type(input.value.trim());
    input.value = "";
    screen()?.focus();
  });
  onClick("key-tab", () => screen()?.press(KEYSYM.tab));
  onClick("key-enter", () => screen()?.press(KEYSYM.enter));
  onClick("key-backspace", () => screen()?.press(KEYSYM.backspace));
};

/** The screen swallows every key, Tab too: one combination leaves it, once its keys are up again in the guest as well. */
const wireWayOut = (): void => {
  let isLeaving = false;
  const area = byId("screen");
  area.addEventListener(
    "keydown",
    (event) => {
      if (!(event.ctrlKey && event.altKey && event.key === "Home")) return;
      isLeaving = true;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );
  area.addEventListener(
    "keyup",
    (event) => {
      if (!isLeaving || event.ctrlKey || event.altKey) return;
      isLeaving = false;
      byId("keystrokes").focus();
    },
    { capture: true },
  );
};

const wireDestroy = (api: SessionApi, onDestroyed: () => void): void => {
  const ask = (isAsking: boolean): void => {
    show("destroy", !isAsking);
    show("destroy-question", isAsking);
    byId(isAsking ? "destroy-no" : "destroy").focus();
  };
  const destroy = async (): Promise<void> => {
    const button = byId("destroy-yes", HTMLButtonElement);
    button.disabled = true;
    button.textContent = "Destroying…";
    try {
      await api.destroy();
      onDestroyed();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      button.textContent = "Not destroyed: try again";
      button.disabled = false;
    }
  };
  onClick("destroy", () => ask(true));
  onClick("destroy-no", () => ask(false));
  onClick("destroy-yes", () => void destroy());
  byId("destroy-question").addEventListener("keydown", (event) => {
    if (event.key === "Escape") ask(false);
  });
};
