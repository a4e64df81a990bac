/**
 * The floor of `start`: the same QEMU restores the same snapshot by a bare script, with no jail, ledger or controller; the agent renews
 * and configures itself as it must, then a raw client takes the first whole frame. Runs in the host's network. Argument: `FloorOptions` as
 * JSON; prints `Floor` as JSON. Removes what it made.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { GUEST_PORTS } from "../../src/contract/guest.ts";
import { run } from "../../src/lib/exec.ts";
import { macOf } from "../../src/lib/ipv4.ts";
import { ROOM } from "../../src/vmm/qemu/jail.ts";
import { firstFrame } from "./rfb.ts";

export interface FloorOptions {
  /** QEMU and its arguments, as a clone of the snapshot was started with them in its jail. */
  argv: string[];
  /** Paths in the jail → on the host. */
  files: Record<string, string>;
  isKvm: boolean;
  bridge: string;
  table: string;
  /** Free, on the bridge. */
  address: string;
  prefixLength: number;
  gateway: string;
}

/** Milliseconds from the beginning on. */
export interface Floor {
  restored: number;
  renewed: number;
  configured: number;
  frame: number;
}

const TAP = "bench-floor";

/** JSON lines: a question, and the first line that is its answer. */
const conversation = async (path: string) => {
  let socket: Socket | undefined;
  while (!socket) {
    const one = connect(path);
    socket = await once(one, "connect").then(
      () => one,
      () => sleep(2).then(() => undefined),
    );
  }
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const stream = socket;
  return {
    ask: async (question: object): Promise<Record<string, unknown>> => {
      stream.write(`\n${JSON.stringify(question)}\n`);
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`${path} was closed`);
        const answer = JSON.parse(value || "{}") as Record<string, unknown>;
        if (answer["error"]) throw new Error(JSON.stringify(answer["error"]));
        if ("return" in answer || "result" in answer) return answer;
      }
    },
    close: () => stream.destroy(),
  };
};

const restore = async (options: FloorOptions, folder: string, signal: AbortSignal): Promise<Floor> => {
  const { address, bridge, table, gateway, prefixLength } = options;
  const mac = macOf(address);
  const real = { [ROOM.run]: folder, ...options.files };
  const onHost = (text: string): string =>
    Object.entries(real)
      .reduce((all, [inJail, path]) => all.replaceAll(inJail, path), text)
      .replace(/ifname=[\w-]+/, `ifname=${TAP}`);
  const [program = "", ...args] = options.argv.map(onHost);
  await run("ip", ["tuntap", "add", "dev", TAP, "mode", "tap"]);
  await run("nft", ["add", "element", "inet", table, "guests", `{ ${address} . ${mac} }`]);
  const kvm = options.isKvm ? [openSync("/dev/kvm", "r+")] : [];

  const startedAt = performance.now();
  const since = (): number => performance.now() - startedAt;
  const vmm = spawn(program, args, { stdio: ["ignore", "ignore", "inherit", ...kvm], signal });
  vmm.on("error", () => {});
  for (const file of kvm) closeSync(file);
  const control = await conversation(join(folder, "qmp.sock"));
  const execute = (name: string, given?: object) => control.ask({ execute: name, arguments: given ?? {} });
  await execute("qmp_capabilities");
  await execute("migrate-set-capabilities", { capabilities: [{ capability: "x-ignore-shared", state: true }] });
  await execute("migrate-incoming", { uri: `file:${options.files[ROOM.snapshot.state]}` });
  while (((await execute("query-migrate"))["return"] as { status?: string }).status !== "completed") await sleep(2);
  await execute("cont");
  const restored = since();

  const agent = await conversation(join(folder, "channel.sock"));
  let calls = 0;
  const call = (method: string, params: object) => agent.ask({ jsonrpc: "2.0", id: ++calls, method, params });
  await call("renew", { entropy: randomBytes(64).toString("base64") });
  const renewed = since();
  const network = { mac, address, prefixLength, gateway };
  await call("configure", { hostname: "floor", clockMs: Date.now(), nameserver: gateway, network });
  const configured = since();
  await run("ip", ["link", "set", "dev", TAP, "master", bridge, "up"]);
  await firstFrame(address, GUEST_PORTS.rfb, 60_000);
  return { restored, renewed, configured, frame: since() };
};

const main = async (options: FloorOptions): Promise<void> => {
  const folder = await mkdtemp("/tmp/floor-");
  const end = new AbortController();
  try {
    console.log(JSON.stringify(await restore(options, folder, end.signal)));
  } finally {
    end.abort();
    await run("ip", ["link", "delete", "dev", TAP], { okCodes: [1] });
    const element = `{ ${options.address} . ${macOf(options.address)} }`;
    await run("nft", ["delete", "element", "inet", options.table, "guests", element], { okCodes: [1] });
    await rm(folder, { recursive: true });
  }
  process.exit();
};

await main(JSON.parse(process.argv[2] ?? "") as FloorOptions);
