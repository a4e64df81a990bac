/** The guest agent's entry: bundled into one file for the distribution's Node 20 and started by sallyport-agent.service. */
import { parseArgs } from "node:util";
import { CHANNEL_PORT_NAME, GUEST_PORTS } from "../contract/guest.ts";
import { startAgent } from "./agent.ts";
import { CHANNEL_SOCKET, openDevice } from "./device.ts";

const { values } = parseArgs({
  options: {
    "port-path": { type: "string", default: `/dev/virtio-ports/${CHANNEL_PORT_NAME}` },
    "socket-path": { type: "string", default: CHANNEL_SOCKET },
    "health-port": { type: "string", default: String(GUEST_PORTS.health) },
    "page-port": { type: "string", default: String(GUEST_PORTS.page) },
  },
});

const main = async (): Promise<void> => {
  const log = (message: string): boolean => process.stdout.write(`${message}\n`);
  const root = "/";
  const paths = { portPath: values["port-path"], socketPath: values["socket-path"] };
  const agent = await startAgent({
    openDevice: (listener) => openDevice({ root, ...paths, log }, listener),
    healthPort: Number(values["health-port"]),
    pagePort: Number(values["page-port"]),
    root,
    log,
  });
  log(`agent up, health on :${agent.healthPort}`);
};

// Not awaited at the top level, which a CommonJS bundle has not; a failed start ends the process and systemd tries again.
void main();
