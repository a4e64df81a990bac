import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { firstFrame } from "./rfb.ts";

const [WIDTH, HEIGHT] = [8, 4];

/** An RFB server whose screen is of one colour the first `blank` times; each frame comes in two rectangles, the second late. */
const screen = async (blank: number): Promise<number> => {
  let asked = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {}).write("RFB 003.008\n");
    const steps = [
      () => socket.write(Buffer.from([1, 1])),
      () => socket.write(Buffer.alloc(4)),
      () => socket.write(Buffer.from([0, WIDTH, 0, HEIGHT, ...Array.from({ length: 16 }, () => 0), 0, 0, 0, 1, 65])),
    ];
    socket.on("data", (data) => {
      const step = steps.shift();
      if (step) return void step();
      if (data.at(-10) !== 3) return;
      const half = (y: number) => {
        const pixels = Buffer.alloc((WIDTH * HEIGHT * 4) / 2);
        if (y > 0 && asked > blank) pixels[40] = 9;
        return Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, y, 0, WIDTH, 0, HEIGHT / 2, 0, 0, 0, 0]), pixels]);
      };
      asked++;
      socket.write(half(0));
      setTimeout(() => socket.write(Buffer.concat([Buffer.from([2]), half(HEIGHT / 2)])), 10);
    });
  });
  server.listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.close();
  });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
};

test("a frame is whole when every pixel came, and counts when it is not of one colour", async () => {
  const frame = await firstFrame("127.0.0.1", await screen(2), 5_000);
  expect(frame).toMatchObject({ width: WIDTH, height: HEIGHT, bytes: WIDTH * HEIGHT * 4, tries: 2 });
});

test("a screen that stays blank is none", async () => {
  await expect(firstFrame("127.0.0.1", await screen(1e9), 300)).rejects.toThrow("no whole frame");
});
