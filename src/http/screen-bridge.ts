/** Bytes between a guest's screen and a viewer's WebSocket, both ways; each waits for the other, so that nothing gathers here. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/** For the viewer, and not taken yet: above the first the guest's pixels wait, below the second they come again. */
const FULL_BYTES = 512 * 1024;
const ROOM_BYTES = 128 * 1024;

/** Messages are bytes of a stream: where one ends means nothing. `onEnd` is told why, of an error, and may be called several times. */
export const bridgeScreen = (viewer: WebSocket, screen: Duplex, onEnd: (error?: Error) => void): void => {
  // Not through ws's own stream: that copies each piece and sends it alone, when the one before it is gone.
  const sent = (): void => {
    if (viewer.bufferedAmount < ROOM_BYTES && screen.isPaused()) screen.resume();
  };
  screen.on("data", (piece: Buffer) => {
    if (viewer.readyState !== viewer.OPEN) return;
    viewer.send(piece, sent);
    if (viewer.bufferedAmount > FULL_BYTES) screen.pause();
  });
  viewer.on("message", (message: Buffer) => {
    if (screen.destroyed || screen.write(message) || viewer.isPaused) return;
    viewer.pause();
    screen.once("drain", () => viewer.resume());
  });
  screen.once("end", () => onEnd()).once("error", onEnd);
  screen.once("close", () => onEnd());
  viewer.once("error", onEnd).once("close", () => onEnd());
};
