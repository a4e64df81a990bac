/**
 * The client of `view`, the same for all roads: asks for bytes and counts them as they come. With `websocket` it takes and gives frames, whose
 * heads alone it reads. Argument: `Road` as JSON; prints `Measured` as JSON.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { MIB } from "../../src/lib/units.ts";
import { GREETING, QUESTION_BYTES } from "./world/screen.ts";

export interface Road {
  port: number;
  /** Request line's path and further header lines of an upgrade; absent: bytes as they are. */
  websocket?: { path: string; headers: Record<string, string> };
  rounds: number;
  roundMib: number;
  questions: number;
}

export interface Measured {
  mibPerSecond: number[];
  /** Milliseconds from a question to its answer, 16 bytes. */
  latencyMs: number[];
}

const ANSWER_BYTES = 16;

const upgrade = async (socket: Socket, { path, headers }: NonNullable<Road["websocket"]>): Promise<void> => {
  const lines = Object.entries({
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  let head = Buffer.alloc(0);
  while (!head.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    head = Buffer.concat([head, chunk]);
  }
  socket.pause();
  if (!head.toString("latin1").startsWith("HTTP/1.1 101")) throw new Error(head.toString("latin1"));
  socket.unshift(head.subarray(head.indexOf("\r\n\r\n") + 4));
};

/** Counts the bytes inside frames that a server sends, which are not masked. */
const createFrameCounter = () => {
  let left = 0;
  let head = Buffer.alloc(0);
  return (chunk: Buffer): number => {
    let payload = 0;
    for (let at = 0; at < chunk.length;) {
      if (left > 0) {
        const taken = Math.min(left, chunk.length - at);
        left -= taken;
        at += taken;
        payload += taken;
        continue;
      }
      head = Buffer.concat([head, chunk.subarray(at, ++at)]);
      const size = (head[1] ?? 0) & 0x7f;
      const wanted = size === 127 ? 10 : size === 126 ? 4 : 2;
      if (head.length < 2 || head.length < wanted) continue;
      left = size === 127 ? Number(head.readBigUInt64BE(2)) : size === 126 ? head.readUInt16BE(2) : size;
      head = Buffer.alloc(0);
    }
    return payload;
  };
};

/** As a client must: masked, here with a mask of zeros. */
const framed = (content: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x82, 0x80 | content.length, 0, 0, 0, 0]), content]);

const measure = async ({ port, websocket, rounds, roundMib, questions }: Road): Promise<Measured> => {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  if (websocket) await upgrade(socket, websocket);
  const count = websocket ? createFrameCounter() : (chunk: Buffer): number => chunk.length;
  let wanted = GREETING.length;
  let arrived = (): void => {};
  let failed = (_error: Error): void => {};
  const answer = (bytes: number): Promise<void> =>
    new Promise((resolve, reject) => {
      wanted += bytes;
      [arrived, failed] = [resolve, reject];
      const question = Buffer.alloc(QUESTION_BYTES);
      question.writeUInt32BE(bytes);
      socket.write(websocket ? framed(question) : question);
    });
  socket.on("close", () => failed(new Error("the road closed")));
  socket.on("data", (chunk: Buffer) => {
    wanted -= count(chunk);
    if (wanted <= 0) arrived();
  });
  socket.resume();
  const timed = async (bytes: number): Promise<number> => {
    const startedAt = performance.now();
    await answer(bytes);
    return performance.now() - startedAt;
  };
  await timed(4 * MIB);
  const mibPerSecond: number[] = [];
  for (let round = 0; round < rounds; round++) mibPerSecond.push(roundMib / ((await timed(roundMib * MIB)) / 1000));
  const latencyMs: number[] = [];
  for (let i = 0; i < questions; i++) latencyMs.push(await timed(ANSWER_BYTES));
  socket.destroy();
  return { mibPerSecond, latencyMs };
};

if (import.meta.main) console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? "") as Road)));
