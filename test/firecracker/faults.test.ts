/** Some of the faults that diagnosis must name, those that show before there is a browser, with Firecracker as the VMM. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { STILL_BOOTING } from "../../src/diagnosis/codes.ts";
import { FATAL_FAULTS, GUEST_FAULTS, HOST_FAULTS, type HostFault } from "../faults/faults.ts";
import type { Scene } from "../faults/host-faults.ts";
import { ask, askAfter, untilFailed, type Judgement } from "../faults/judge.ts";
import { createStand, type Stand } from "../faults/stand.ts";
import { DEADLINES_SEC, FIRECRACKER } from "./vmm.ts";

/** The user's own failure has an image of its own (test/fixtures/documents-network.yaml); the others' guests have the image as users have it. */
const DOCUMENTS = { number: 1, title: "the documents' 10-eth0.network", verdict: "network-file-overrides" };
const GUESTS = GUEST_FAULTS.filter(({ number }) => [2, 19].includes(number));
/** Whatever needs no disk of its own: images are linked to where Firecracker sees them. */
const HOSTS: HostFault[] = [...HOST_FAULTS.filter(({ number }) => number !== 22), FATAL_FAULTS.tapDown];
const { vmmKilled } = FATAL_FAULTS;

const judgements = new Map<string, Judgement>();
const between: string[] = [];
const stands: Stand[] = [];

const stand = async (name: string, image: string): Promise<Stand> => {
  const made = await createStand(name, inject("imageDataDir"), {
    image,
    vmm: FIRECRACKER,
    deadlinesSec: DEADLINES_SEC,
  });
  stands.push(made);
  return made;
};

/** One guest on whose host everything breaks, and is mended, before its VMM is killed. */
const breakHost = async (host: Stand): Promise<void> => {
  const { sessionId } = await host.begin({});
  await askAfter(host, sessionId, "reachable");
  const vm = (await host.client.vms()).find((one) => one.sessionId === sessionId);
  if (!vm) throw new Error("the guest that should be healthy is gone");
  const scene: Scene = { stand: host, sessionId, vm };
  for (const fault of HOSTS) {
    const mend = await fault.make(scene);
    judgements.set(fault.title, await ask(host, sessionId));
    await mend();
    between.push((await ask(host, sessionId)).code);
  }
  await vmmKilled.make(scene);
  judgements.set(vmmKilled.title, await untilFailed(host, sessionId, { at: Date.now(), what: "the fault" }));
};

const breakGuests = async (host: Stand, documents: Stand): Promise<void> => {
  const own = await documents.begin({});
  judgements.set(DOCUMENTS.title, await untilFailed(documents, own.sessionId));
  for (const { title, sabotage } of GUESTS) {
    const { sessionId } = await host.begin(sabotage);
    judgements.set(title, await untilFailed(host, sessionId));
    await host.client.destroy(sessionId);
  }
};

beforeAll(async () => {
  const host = await stand("fcfaults", "default");
  const documents = await stand("fcdocs", "documents-network");
  const lanes = await Promise.allSettled([breakHost(host), breakGuests(host, documents)]);
  for (const [title, { code, evidence }] of judgements) console.log([`${title}: ${code}`, ...evidence].join("\n  "));
  for (const lane of lanes) if (lane.status === "rejected") throw lane.reason;
}, 12 * 60_000);
afterAll(async () => {
  for (const made of stands) await made.destroy();
});

test.each([DOCUMENTS, ...GUESTS, ...HOSTS, vmmKilled].toSorted((a, b) => a.number - b.number))(
  "$title: $verdict",
  ({ title, verdict }) => {
    const judgement = judgements.get(title);
    expect(judgement?.code, judgement?.evidence.join("\n")).toBe(verdict);
  },
);

test("the guest is found in order again whenever the host is mended", () => {
  expect(between).toEqual(HOSTS.map(() => STILL_BOOTING));
});
