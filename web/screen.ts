/** The pixels: one RFB connection at a time, made again when it is lost, until it is closed. */
import RFB from "@novnc/novnc";
import { Refused, type SessionApi } from "./api.ts";
import { keysymOf } from "./keysyms.ts";

export type ScreenStatus =
  | { kind: "connecting" }
  | { kind: "connected" }
  /** Lost or refused; another attempt follows by itself. */
  | { kind: "retrying"; reason: string }
  /** No further attempt until `retry`. */
  | { kind: "given-up"; reason: string };

export interface Screen {
  /** As keystrokes, one per character. Nothing happens while there is no connection. */
  type(text: string): void;
  press(keysym: number): void;
  focus(): void;
  /** One guest pixel per CSS pixel, moved with a finger, instead of everything scaled to fit. */
  setEnlarged(isEnlarged: boolean): void;
  retry(): void;
  close(): void;
}

/** Pauses before each further attempt; a connection that came about starts them anew. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

/** Close code of the server for a screen that another page took: two pages that both came back would fight for it. */
const TAKEN_OVER = 4000;

export const openScreen = (element: HTMLElement, api: SessionApi, onStatus: (status: ScreenStatus) => void): Screen => {
  let rfb: RFB | undefined;
  let isEnlarged = false;
  let isClosed = false;
  let attempts = 0;
  let timer: number | undefined;

  const connect = async (): Promise<void> => {
    onStatus({ kind: "connecting" });
    try {
      const socket = await api.openSocket();
      if (isClosed) return socket.close();
      rfb = attach(socket);
    } catch (error) {
      lost(error instanceof Refused ? error.sentences : String(error));
    }
  };

  const attach = (socket: WebSocket): RFB => {
    // Listens before noVNC does, which tells of the end from within its own listener, and without the code.
    let closeCode = 0;
    socket.addEventListener("close", ({ code }) => (closeCode = code));
    // Not shared: a second viewer is refused by the server, never let in beside the first.
    const connection = new RFB(element, socket, { shared: false });
    connection.background = "transparent";
    connection.resizeSession = false;
    fit(connection, isEnlarged);
    connection.addEventListener("connect", () => {
      attempts = 0;
      onStatus({ kind: "connected" });
      connection.focus({ preventScroll: true });
    });
    connection.addEventListener("disconnect", () => {
      rfb = undefined;
      if (closeCode === TAKEN_OVER) attempts = PAUSES_MS.length;
      lost(closeCode === TAKEN_OVER ? "Another page of yours shows the browser now." : "The connection was lost.");
    });
    return connection;
  };

  const lost = (reason: string): void => {
    if (isClosed) return;
    const pause = PAUSES_MS[attempts];
    attempts += 1;
    if (pause === undefined) return onStatus({ kind: "given-up", reason });
    onStatus({ kind: "retrying", reason });
    timer = window.setTimeout(() => void connect(), pause);
  };

  void connect();

  return {
    type: (text) => {
      for (const character of text) rfb?.sendKey(keysymOf(character), null);
    },
    press: (keysym) => rfb?.sendKey(keysym, null),
    focus: () => rfb?.focus({ preventScroll: true }),
    setEnlarged: (value) => {
      isEnlarged = value;
      if (rfb) fit(rfb, value);
    },
    retry: () => {
      attempts = 0;
      void connect();
    },
    close: () => {
      isClosed = true;
      window.clearTimeout(timer);
      rfb?.disconnect();
    },
  };
};

const fit = (rfb: RFB, isEnlarged: boolean): void => {
  rfb.scaleViewport = !isEnlarged;
  rfb.clipViewport = isEnlarged;
  rfb.dragViewport = isEnlarged;
};
