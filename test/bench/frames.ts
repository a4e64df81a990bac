/** A raw RFB client in a namespace, there before it is needed. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { GUEST_PORTS } from "../../src/contract/guest.ts";
import { NODE } from "../fixtures/namespace.ts";
import type { Frame } from "./rfb.ts";

export const startFrames = async (namespace: string) => {
  const argv = ["netns", "exec", namespace, NODE, join(import.meta.dirname, "rfb.ts")];
  const child = spawn("ip", argv, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    /** One at a time. */
    first: async (address: string, seconds = 300): Promise<Frame> => {
      child.stdin.write(`${address} ${GUEST_PORTS.rfb} ${seconds}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`there was no frame of ${address}`);
      return JSON.parse(value) as Frame;
    },
    stop: () => void child.kill(),
  };
};
