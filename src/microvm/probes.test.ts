import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { GUEST_PORTS } from "../contract/guest.ts";
import { probeHealth, probeRfb } from "./probes.ts";

/** An address of this test's own on the loopback. */
const ADDRESS = "127.83.0.1";
const TIMEOUT_MS = 10_000;

let server: Server | undefined;
const sockets = new Set<Socket>();
afterEach(async () => {
  sockets.forEach((socket) => socket.destroy());
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
});

/** What the guest's end of a connection does; answers how many bytes it got rid of, asked once the connection is over. */
const guest = async (port: number, talk: (socket: Socket) => void): Promise<() => Promise<number>> => {
  const written = new Promise<number>((resolve) => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.resume().on("error", () => {});
      socket.on("close", () => resolve(socket.bytesWritten));
      talk(socket);
    });
  });
  await new Promise<void>((resolve) => server?.listen(port, ADDRESS, resolve));
  return () => written;
};

const saying = (port: number, text: string) => guest(port, (socket) => socket.write(text));
/** For as long as it is read, a piece after the other. */
const flooding = (port: number, text: string) =>
  guest(port, (socket) => {
    const more = (): void => void (socket.destroyed || socket.write(text, more));
    more();
  });

describe("/health", () => {
  test.each([
    ["HTTP/1.1 200 OK\r\n", undefined],
    ["HTTP/1.1 404 Not Found\r\n", "HTTP 404"],
    ["HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n", "HTTP 103"],
    ["RFB 003.008\n", "something else answers on port 8080"],
    [`HTTP/1.1 ${"2".repeat(300)}`, "something else answers on port 8080"],
  ])("that begins with %j", async (text, seen) => {
    await saying(GUEST_PORTS.health, text);
    expect(await probeHealth(ADDRESS, TIMEOUT_MS)).toBe(seen);
  });

  test.each([
    ["interim answers", "HTTP/1.1 100 Continue\r\n\r\n".repeat(2500)],
    ["a header without end", `x: ${"y".repeat(60_000)}`],
    ["empty lines", "\n".repeat(65_536)],
  ])("a flood of %s ends the look with its first piece", async (_what, piece) => {
    const written = await flooding(GUEST_PORTS.health, piece);
    expect(await probeHealth(ADDRESS, TIMEOUT_MS)).toBeDefined();
    // What the two kernels' buffers took; the rest of a flood would be gigabytes.
    expect(await written()).toBeLessThan(64 * 1024 * 1024);
  });

  test("an answer that comes byte by byte has one deadline", async () => {
    await guest(GUEST_PORTS.health, (socket) => {
      const drip = setInterval(() => socket.write("H"), 20);
      socket.on("close", () => clearInterval(drip));
    });
    expect(await probeHealth(ADDRESS, 300)).toBe("no answer");
  });

  test("nobody there, and somebody who hangs up", async () => {
    expect(await probeHealth(ADDRESS, TIMEOUT_MS)).toBe("ECONNREFUSED");
    await guest(GUEST_PORTS.health, (socket) => socket.end());
    expect(await probeHealth(ADDRESS, TIMEOUT_MS)).toBe("closed without an answer");
  });
});

describe("the screen", () => {
  test.each([
    ["RFB 003.008\n", undefined],
    ["HTTP/1.1 200 OK\r\n", "something else answers on port 5901"],
    ["\n", "something else answers on port 5901"],
  ])("that greets with %j", async (text, seen) => {
    await saying(GUEST_PORTS.rfb, text);
    expect(await probeRfb(ADDRESS, TIMEOUT_MS)).toBe(seen);
  });

  test("that greets in pieces", async () => {
    await guest(GUEST_PORTS.rfb, (socket) => {
      for (const piece of ["R", "FB 003", ".008\n"]) socket.write(piece);
    });
    expect(await probeRfb(ADDRESS, TIMEOUT_MS)).toBeUndefined();
  });

  test("that drips has one deadline", async () => {
    await guest(GUEST_PORTS.rfb, (socket) => {
      const drip = setInterval(() => socket.write("R"), 20);
      socket.on("close", () => clearInterval(drip));
    });
    expect(await probeRfb(ADDRESS, 300)).toBe("no answer");
  });
});
