/**
 * Looks at a guest from outside, over its network: what a person's browser and the viewer will need. The guest answers what it likes
 * for as long as it likes: of each answer the first line is read, so many bytes of it, within one deadline for the whole.
 */
import { connect } from "node:net";
import { GUEST_PORTS } from "../contract/guest.ts";

/** Undefined when `/health` of the guest's agent answers 200, else what happened, e.g. `EHOSTUNREACH`. */
export const probeHealth = async (address: string, timeoutMs: number): Promise<string | undefined> => {
  const request = `GET /health HTTP/1.1\r\nHost: ${address}:${GUEST_PORTS.health}\r\nConnection: close\r\n\r\n`;
  const answer = await firstLine({ address, port: GUEST_PORTS.health, request, timeoutMs });
  if (answer.line === undefined) return answer.failure;
  const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(answer.line)?.[1];
  if (status === "200") return undefined;
  return status === undefined ? `something else answers on port ${GUEST_PORTS.health}` : `HTTP ${status}`;
};

/** Undefined when an RFB server greets, else what happened. The connection is closed after the greeting. */
export const probeRfb = async (address: string, timeoutMs: number): Promise<string | undefined> => {
  const answer = await firstLine({ address, port: GUEST_PORTS.rfb, request: "", timeoutMs });
  if (answer.line === undefined) return answer.failure;
  return answer.line.startsWith("RFB ") ? undefined : `something else answers on port ${GUEST_PORTS.rfb}`;
};

/** No status line and no greeting is longer. */
const LINE_BYTES = 256;

interface Question {
  address: string;
  port: number;
  /** Sent first; may be empty. */
  request: string;
  timeoutMs: number;
}

type Answer = { line: string } | { line?: undefined; failure: string };

/** What comes first, up to a line's end or as much as fits; never throws. The connection is closed then. */
const firstLine = ({ address, port, request, timeoutMs }: Question): Promise<Answer> =>
  new Promise((resolve) => {
    const buffer = Buffer.alloc(LINE_BYTES);
    let line = "";
    const onread = {
      buffer,
      callback: (length: number): boolean => {
        line += buffer.toString("latin1", 0, length);
        if (!line.includes("\n") && line.length < LINE_BYTES) return true;
        finish({ line });
        return false;
      },
    };
    const socket = connect({ host: address, port, onread });
    const finish = (answer: Answer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => finish({ failure: "no answer" }), timeoutMs);
    socket.on("error", (error: NodeJS.ErrnoException) => finish({ failure: error.code ?? error.message }));
    socket.on("close", () => finish({ failure: "closed without an answer" }));
    socket.write(request);
  });
