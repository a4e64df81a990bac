/** What stands for a guest's screen when its bytes are measured: greets as RFB does, then sends as many bytes as it is asked for. */
import type { Socket } from "node:net";

export const GREETING = "RFB 003.008\n";
/** A question: so many bytes are wanted, a big-endian number of four. */
export const QUESTION_BYTES = 4;

const PIECE = Buffer.alloc(256 * 1024, 0x5a);

export const serveScreen = (socket: Socket): void => {
  let rest = Buffer.alloc(0);
  let owed = 0;
  const send = (): void => {
    while (owed > 0) {
      const piece = PIECE.subarray(0, Math.min(owed, PIECE.length));
      owed -= piece.length;
      if (!socket.write(piece)) return void socket.once("drain", send);
    }
  };
  socket.setNoDelay(true).on("error", () => {});
  socket.write(GREETING);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    const wasIdle = owed === 0;
    for (; rest.length >= QUESTION_BYTES; rest = rest.subarray(QUESTION_BYTES)) owed += rest.readUInt32BE(0);
    if (wasIdle) send();
  });
};
