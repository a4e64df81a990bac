/** A template and clones of it, at the VMM's door and over the agent's channel, each in a network namespace where it meets a recorder. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { connectChannel } from "../../src/channel/connect.ts";
import { GUEST_PROTOCOL, type GuestMethod, type GuestParams, type GuestResult } from "../../src/contract/guest.ts";
import { createRecipient, keyThumbprint } from "../../src/handover/sealing.ts";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import type { MicrovmHandle, MicrovmSpec, StartPlan, VmmBackend } from "../../src/vmm/vmm.ts";
import { IDENTITY_PROVIDER_NAME } from "../../rig/world.ts";
import type { Certificates } from "../../rig/certificates.ts";
import { realMachine } from "../conformance/real-machine.ts";
import { hooks } from "../conformance/vmm-suite.ts";
import { fixture, NODE } from "../fixtures/namespace.ts";
import { specIn } from "../fixtures/spec.ts";

const GATEWAY = "192.168.100.1";
const PORT = 8443;
const CALLBACK = { port: 18_976, path: "/oauth/callback" };
/** That the template's network card is made with. */
export const TEMPLATE_MAC = "06:00:00:00:00:01";
const BOOT_MS = 240_000;
const CALL_MS = 120_000;

/** What was seen of a clone. */
export interface Seen {
  /** What it was told to be, and what it is. */
  given: { mac: string; address: string; hostname: string };
  found: { mac: string | undefined; addresses: string[]; hostname: string };
  bootId: string;
  /** Of Firefox, that said they took fresh bytes. */
  browserProcesses: number;
  /** Values that no other machine may have, by where they were seen. */
  secrets: Record<string, string>;
  /** Milliseconds since 1970: its clock, and the host's before and after it was read. */
  clock: { before: number; guest: number; after: number };
}

export interface CloneWorld {
  /** The template's address while it ran. */
  templateAddress: string | null;
  templateBootId: string;
  /** So many at once. */
  clones: (count: number) => Promise<Seen[]>;
  destroy: () => Promise<void>;
}

export const createCloneWorld = async (options: {
  backend: VmmBackend;
  image: MicrovmSpec["image"];
  certificates: Certificates;
}): Promise<CloneWorld> => {
  const { backend, image, certificates } = options;
  const { makeTap, removeTap, uidBase } = await realMachine();
  const cleanup = new Cleanup();
  let microvms = 0;
  const root = await mkdtemp("/var/tmp/sp-clones-");
  cleanup.push("the folder", () => rm(root, { recursive: true }));
  const snapshot = join(root, "snapshot");
  await mkdir(snapshot, { mode: 0o700 });
  await run("chmod", ["711", root]);

  const newSpec = async (): Promise<MicrovmSpec> => {
    const machine = { vcpuCount: 2, memoryMib: 2048, mac: TEMPLATE_MAC };
    const spec = await specIn(root, { image, uid: uidBase + 50 + microvms++, ...machine });
    cleanup.push("the TAP", () => removeTap(spec.tap));
    spec.netns = await makeTap(spec.tap, spec.uid);
    cleanup.push("the machine", () => backend.reopen({ ...spec, process: null }).kill());
    return spec;
  };

  const makeTemplate = async () => {
    const { snapshots } = backend;
    if (!snapshots) throw new Error(`${backend.name} has no snapshots`);
    const template = await snapshots.startTemplate(await newSpec(), snapshot, hooks());
    const agent = talkTo(template);
    const { bootId } = await agent.call("hello", { protocol: GUEST_PROTOCOL }, BOOT_MS);
    const isPainted = async () => ((await agent.call("health", {})).browser === "painted" ? true : undefined);
    await poll(isPainted, { what: "the waiting page", timeoutMs: BOOT_MS, intervalMs: 1000 });
    const { address } = await agent.call("health", {});
    await agent.call("settle", {});
    agent.close();
    await template.freeze(new AbortController().signal);
    await template.kill();
    return { templateBootId: bootId, templateAddress: address };
  };

  const seeClone = async (spec: MicrovmSpec, plan: StartPlan, number: number): Promise<Seen> => {
    const address = `192.168.100.${10 + number}`;
    const given = {
      mac: `06:00:c0:a8:64:${(10 + number).toString(16).padStart(2, "0")}`,
      address,
      hostname: `clone-${number}`,
    };
    const recorder = await startRecorder(basename(spec.netns), spec.tap, certificates);
    cleanup.push("the recorder", recorder.stop);
    const agent = talkTo(await backend.start(spec, plan, hooks()));
    try {
      const renewed = await agent.call("renew", { entropy: randomBytes(64).toString("base64") });
      const { publicKey: recipientKey } = await createRecipient();
      const sealing = { sessionId: "ses_1", provider: "oidc", userId: "ada", expiresAt: "2030-01-01" };
      await agent.call("configure", {
        hostname: given.hostname,
        machineId: randomBytes(16).toString("hex"),
        clockMs: Date.now(),
        nameserver: GATEWAY,
        network: { mac: given.mac, address, prefixLength: 24, gateway: GATEWAY },
        session: {
          providerTitle: "Example",
          recipientKey,
          sealing: { ...sealing, keyThumbprint: keyThumbprint(recipientKey) },
        },
      });
      const { links, addresses } = await agent.call("facts", {});
      const { bootId } = await agent.call("hello", { protocol: GUEST_PROTOCOL });
      await agent.call("listen", CALLBACK);
      await agent.call("open", { url: `https://${IDENTITY_PROVIDER_NAME}:${PORT}/` });
      const { hello, page } = await recorder.seen();
      const { caught } = await agent.call("collect", { waitMs: 30_000 });
      const { text } = await agent.call("journal", { units: ["systemd-networkd.service"], lines: 1 });
      return {
        given,
        found: {
          mac: links.find(({ name }) => name === "eth0")?.mac,
          addresses: addresses.filter(({ link }) => link === "eth0").map((one) => one.address),
          hostname: /^\[[ \d.]+\] (\S+)/m.exec(text)?.[1] ?? "",
        },
        bootId,
        ...renewed,
        secrets: { ...hello, ...page.values, "the sealed box": caught?.enc ?? "" },
        clock: { before: page.servedAt, guest: page.now, after: page.heardAt },
      };
    } finally {
      agent.close();
    }
  };

  try {
    const template = await makeTemplate();
    let number = 0;
    return {
      ...template,
      clones: async (count) => {
        const specs = await Promise.all(Array.from({ length: count }, newSpec));
        const plan = { kind: "restore", snapshot } as const;
        const seen = await Promise.all(specs.map((spec) => seeClone(spec, plan, ++number)));
        for (const spec of specs) await backend.reopen({ ...spec, process: null }).kill();
        return seen;
      },
      destroy: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};

const talkTo = (vm: MicrovmHandle) => {
  const channel = connectChannel({ open: vm.openChannel });
  return {
    call: <M extends GuestMethod>(method: M, params: GuestParams<M>, timeoutMs = CALL_MS): Promise<GuestResult<M>> =>
      channel.call(method, params, { timeoutMs }),
    close: () => channel.close(),
  };
};

interface Page {
  values: Record<string, string>;
  servedAt: number;
  now: number;
  heardAt: number;
}

/** The first ClientHello of its guest, and the first page. */
const startRecorder = async (namespace: string, tap: string, { server, serverKey }: Certificates) => {
  await run("ip", ["-netns", namespace, "address", "add", `${GATEWAY}/24`, "dev", tap]);
  await run("ip", ["-netns", namespace, "link", "set", tap, "up"]);
  const callback = `http://localhost:${CALLBACK.port}${CALLBACK.path}?code=1`;
  const settings = JSON.stringify({ certificate: server, key: serverKey, address: GATEWAY, port: PORT, callback });
  const args = ["netns", "exec", namespace, NODE, fixture("recorder.ts"), settings];
  const child = spawn("ip", args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines: { ready?: true; hello?: Record<string, string>; page?: Page }[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line)));
  const first = <T>(what: string, pick: (line: (typeof lines)[number]) => T | undefined): Promise<T> => {
    const look = async (): Promise<T | undefined> => lines.map(pick).find((one) => one !== undefined);
    return poll(look, { what, timeoutMs: CALL_MS, intervalMs: 50 });
  };
  await first("the recorder", ({ ready }) => ready);
  return {
    seen: async () => ({
      hello: await first("a ClientHello", ({ hello }) => hello),
      page: await first("a page", ({ page }) => page),
    }),
    stop: async () => void child.kill("SIGKILL"),
  };
};
