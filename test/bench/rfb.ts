/**
 * A raw RFB client, run where the guest can be reached: connects, as often as it has to, asks for the whole screen until one comes that is
 * not of one colour, and tells the moment. As a program it is there before it is needed: each line on standard input, address, port and
 * seconds at most, is answered with a `Frame` as JSON.
 */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

export interface Frame {
  /** Milliseconds since 1970, of the last connection's beginning and of the frame's last byte. */
  connectingAt: number;
  wholeAt: number;
  width: number;
  height: number;
  bytes: number;
  /** Times that it was refused, or closed, or showed one colour. */
  tries: number;
}

const RETRY_MS = 20;
const CONNECT_MS = 250;
const RAW_ENCODING = 0;
const BYTES_PER_PIXEL = 4;

/** Reads exactly so many bytes, however they come. */
const readerOf = (socket: Socket) => {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer<ArrayBuffer>>;
  let rest = Buffer.alloc(0);
  return async (length: number): Promise<Buffer> => {
    const parts: Buffer<ArrayBuffer>[] = [rest];
    let have = rest.length;
    while (have < length) {
      const { value, done } = await chunks.next();
      if (done) throw new Error("the screen closed the connection");
      parts.push(value);
      have += value.length;
    }
    const all = Buffer.concat(parts);
    rest = all.subarray(length);
    return all.subarray(0, length);
  };
};

/** Throws where the server is none, or wants a password. */
const greet = async (socket: Socket, read: ReturnType<typeof readerOf>) => {
  await read(12);
  socket.write("RFB 003.008\n");
  const kinds = await read((await read(1)).readUInt8());
  if (!kinds.includes(1)) throw new Error("the screen wants a password");
  socket.write(Buffer.from([1]));
  if ((await read(4)).readUInt32BE() !== 0) throw new Error("the screen refused");
  // Shared: nobody else is thrown out.
  socket.write(Buffer.from([1]));
  const start = await read(24);
  await read(start.readUInt32BE(20));
  // SetPixelFormat: 32 bits, 24 of them colour, little-endian, true colour; SetEncodings: raw alone.
  socket.write(Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]));
  socket.write(Buffer.from([2, 0, 0, 1, 0, 0, 0, RAW_ENCODING]));
  return { width: start.readUInt16BE(0), height: start.readUInt16BE(2) };
};

/** Every pixel of the screen, once. */
const wholeFrame = async (
  socket: Socket,
  read: ReturnType<typeof readerOf>,
  { width, height }: { width: number; height: number },
): Promise<{ bytes: number; isOneColour: boolean }> => {
  const request = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  request.writeUInt16BE(width, 6);
  request.writeUInt16BE(height, 8);
  socket.write(request);
  let pixels = 0;
  let first: number | undefined;
  let isOneColour = true;
  while (pixels < width * height) {
    const kind = (await read(1)).readUInt8();
    if (kind === 1) await read((await read(5)).readUInt16BE(3) * 6);
    if (kind === 3) await read((await read(7)).readUInt32BE(3));
    if (kind !== 0) continue;
    for (let left = (await read(3)).readUInt16BE(1); left > 0; left--) {
      const rectangle = await read(12);
      const count = rectangle.readUInt16BE(4) * rectangle.readUInt16BE(6);
      const content = await read(count * BYTES_PER_PIXEL);
      pixels += count;
      for (let at = 0; isOneColour && at < content.length; at += BYTES_PER_PIXEL) {
        const colour = content.readUInt32LE(at) & 0xffffff;
        isOneColour = colour === (first ??= colour);
      }
    }
  }
  return { bytes: pixels * BYTES_PER_PIXEL, isOneColour };
};

export const firstFrame = async (host: string, port: number, timeoutMs: number): Promise<Frame> => {
  const until = performance.now() + timeoutMs;
  for (let tries = 0; performance.now() < until;) {
    const connectingAt = Date.now();
    const socket = connect({ host, port, noDelay: true });
    // A question that was lost would be asked again after a second only.
    const timer = setTimeout(() => socket.connecting && socket.destroy(), CONNECT_MS);
    try {
      const read = readerOf(socket);
      const size = await greet(socket, read);
      while (performance.now() < until) {
        const { bytes, isOneColour } = await wholeFrame(socket, read, size);
        if (!isOneColour) return { connectingAt, wholeAt: Date.now(), ...size, bytes, tries };
        tries++;
        await sleep(RETRY_MS);
      }
    } catch {
      tries++;
      await sleep(RETRY_MS);
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }
  throw new Error(`no whole frame of ${host} within ${timeoutMs / 1000} s`);
};

if (import.meta.main) {
  console.log("ready");
  for await (const line of createInterface({ input: process.stdin })) {
    const [host = "", port, seconds] = line.split(" ");
    console.log(JSON.stringify(await firstFrame(host, Number(port), Number(seconds) * 1000)));
  }
}
