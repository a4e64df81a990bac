/** Looks at a guest from outside, over its network: what a person's browser and the viewer will need. */
import { request } from "node:http";
import { connect } from "node:net";
import { GUEST_PORTS } from "../contract/guest.ts";

/** Undefined when `/health` of the guest's agent answers 200, else what happened, e.g. `EHOSTUNREACH`. */
export const probeHealth = (address: string, timeoutMs: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    // A deadline for the whole, not between bytes: a guest may answer one byte at a time for ever.
    const signal = AbortSignal.timeout(timeoutMs);
    const call = request({ host: address, port: GUEST_PORTS.health, path: "/health", agent: false, signal });
    call.on("response", (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? undefined : `HTTP ${response.statusCode}`);
      call.destroy();
    });
    call.on("error", (error) => resolve(signal.aborted ? "no answer" : codeOf(error)));
    call.end();
  });

/** Undefined when an RFB server greets, else what happened. The connection is closed after the greeting. */
export const probeRfb = (address: string, timeoutMs: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port: GUEST_PORTS.rfb, timeout: timeoutMs });
    const finish = (result: string | undefined): void => {
      resolve(result);
      socket.destroy();
    };
    socket.once("data", (greeting: Buffer) =>
      finish(
        greeting.toString("latin1", 0, 4) === "RFB " ? undefined : `something else answers on port ${GUEST_PORTS.rfb}`,
      ),
    );
    socket.on("timeout", () => finish("no greeting"));
    socket.on("error", (error) => finish(codeOf(error)));
    socket.on("close", () => finish("closed without a greeting"));
  });

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message;
