/** Whether sessions start from a warm snapshot on this host, and if not, why. */
import { createSnapshotStore, inputsOf, isFresh, neededMib, snapshotKey, type Snapshot } from "../image/snapshots.ts";
import type { SnapshotInputs } from "../contract/snapshot-manifest.ts";
import { diskFreeMib } from "../lib/host-room.ts";
import { MIB } from "../lib/units.ts";
import { orAfter } from "../lib/wait.ts";
import { ok, warning, type Answer, type Check } from "./check.ts";
import type { Host } from "./host.ts";

/** KVM may have to be tried first. */
const CHOICE_MS = 8_000;

export const warmSnapshot: Check = {
  name: "warm snapshot",
  needsRoot: true,
  deadlineMs: CHOICE_MS + 1_000,
  look: async (host) => {
    const { config, paths } = host;
    if (!config.warm.snapshots) return ok("Switched off (warm.snapshots): each session boots.");
    const chosen = await orAfter(host.choice(), CHOICE_MS, () => undefined).catch(() => undefined);
    const image = await host.images.find(config.image);
    if (!chosen || !image) return ok("Not looked at: it is not known what runs new microVMs, or from which image.");
    const { name, snapshots } = chosen.backend;
    if (!snapshots) return ok(`${name} makes none: each session boots.`);
    const inputs = inputsOf(image, await snapshots.ground(image.vmlinux), config.vm);
    const store = createSnapshotStore(paths);
    const all = await store.list();
    const found = all.find(({ key }) => key === snapshotKey(inputs));
    return found ? ofFound(host, found, await store.bytesOf(found)) : ofNone(host, inputs, all);
  },
};

const ofFound = ({ config }: Host, found: Snapshot, bytes: number): Answer => {
  const { madeAt, inputs } = found;
  const what = `made ${madeAt} with ${inputs.ground["vmm"] ?? "a VMM that it does not name"}, ${Math.ceil(bytes / MIB)} MiB`;
  return isFresh(found, config.warm.maxAgeHours)
    ? ok(`Sessions start from the one ${what}.`)
    : ok(`The one ${what}, is not of the last ${config.warm.maxAgeHours} hours (warm.maxAgeHours): ${MEANWHILE}`);
};

const MEANWHILE =
  "sessions boot until the controller, when nobody waits for one, has made another (at once: sallyport image warm).";

const ofNone = async ({ config, paths }: Host, inputs: SnapshotInputs, all: Snapshot[]): Promise<Answer> => {
  const freeMib = await diskFreeMib(paths.root);
  const wantedMib = neededMib(config.vm.memoryMib);
  if (freeMib < wantedMib) {
    const sentence = `There is none, and no room for one: ${paths.root} has ${freeMib} MiB free, and it may take ${wantedMib} MiB.`;
    return warning(`${sentence} Each session boots.`, `free space there (df -h ${paths.root})`);
  }
  const other = all.find(({ inputs: { imageDigest } }) => imageDigest === inputs.imageDigest);
  if (!other) return ok(`There is none of this image yet: ${MEANWHILE}`);
  const changed = [...new Set([...Object.keys(inputs.ground), ...Object.keys(other.inputs.ground)])].filter(
    (word) => inputs.ground[word] !== other.inputs.ground[word],
  );
  return ok(`The one of ${other.madeAt} is of another ${changed.join(", ") || "machine (vm)"}: ${MEANWHILE}`);
};
