/** All that one microVM owns on this host is removed, and looked for afterwards. The one road for every way it may end. */
import { rm, stat } from "node:fs/promises";
import type { GoneResource } from "../contract/session.ts";
import { allTriedAtOnce } from "../lib/all-tried.ts";
import { Cleanup } from "../lib/cleanup.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { isLeased, releaseAddress } from "../network/lease.ts";
import type { Left, MicrovmHandle } from "../vmm/vmm.ts";
import { endingOf, type MicrovmDeps } from "./microvm.ts";
import type { Microvm } from "./store.ts";

/**
 * Ends the processes, takes the network apart, removes the folder, each also when another of these steps fails; then looks
 * whether the things are really gone, and returns the lease when all are. May be called again after a crash at any line.
 * Throws AppError `not-gone` when something refuses to go, with all that went wrong.
 */
export const destroyMicrovm = async (deps: MicrovmDeps, given: Microvm): Promise<GoneResource[]> => {
  const { ledger, vms } = deps;
  // The record as it is now: its process may have been started since.
  const vm = (await vms.get(given.id)) ?? given;
  // Its address went back when all the rest was gone: since then address, MAC and user may be another microVM's.
  const isLeft = await isLeased(deps.db, vm.id);
  const wasStarted = isLeft && (await ledger.of(vm.id)).some(({ kind }) => kind === "user" || kind === "process");
  // Before anything goes: what cannot be ended is not taken apart either.
  const vmm = await endingOf(deps, vm);
  const failure = await takeApart(deps, vm, { vmm, isLeft, wasStarted }).catch((error: unknown) => error);
  await recordGone(deps, vm, { vmm, isLeft, wasStarted, failure });
  return (await ledger.of(vm.id)).flatMap(({ kind, ref, acquiredAt, seenGoneAt }) =>
    seenGoneAt === null ? [] : [{ kind, ref, acquiredAt, seenGoneAt }],
  );
};

/**
 * What was made of a microVM that did not come up is taken back: it has its address, and can be made again. Throws when something of it
 * refuses to go.
 */
export const undoLaunch = async (deps: MicrovmDeps, given: Microvm): Promise<void> => {
  const vm = (await deps.vms.get(given.id)) ?? given;
  const wasStarted = (await deps.ledger.of(vm.id)).some(({ kind }) => kind === "user" || kind === "process");
  const vmm = await endingOf(deps, vm);
  await takeApart(deps, vm, { vmm, isLeft: true, wasStarted });
  await deps.vms.setProcess(vm.id, null);
};

const takeApart = async (
  { network, paths }: MicrovmDeps,
  vm: Microvm,
  { vmm, isLeft, wasStarted }: Omit<Was, "vmm"> & { vmm: Pick<MicrovmHandle, "kill"> },
): Promise<void> => {
  const steps = new Cleanup();
  steps.push("the folder", () => rm(paths.vm(vm.id).root, { recursive: true, force: true }));
  steps.push("the VMM and its network", () =>
    allTriedAtOnce(
      async () => isLeft && network.remove(vm),
      // Before its start, what runs as its user is somebody else's: it may have been refused for that.
      async () => wasStarted && vmm.kill(),
    ),
  );
  await steps.run();
};

/** How it was found. */
interface Was {
  vmm: Pick<MicrovmHandle, "left">;
  isLeft: boolean;
  wasStarted: boolean;
}

/**
 * After everything was removed, so that a disk too full to write to keeps no microVM alive; each thing is looked for
 * first: no receipt is signed over one that is still there. The address goes last of all: with it the VMM's user would
 * belong to somebody else.
 */
const recordGone = async (
  deps: MicrovmDeps,
  vm: Microvm,
  { failure, ...was }: Was & { failure: unknown },
): Promise<void> => {
  const { db, ledger } = deps;
  const left = await thingsLeft(deps, vm, was);
  try {
    if (left.length === 0) await releaseAddress(db, vm.id);
    if (await isLeased(db, vm.id)) left.push({ kind: "lease" });
    const rows = await ledger.of(vm.id);
    await ledger.seenGone(vm.id, rowsGone(rows, left));
  } catch (error) {
    // What is still there is worse than that the rest cannot be written down; it is tried again with it.
    if (left.length === 0) throw goneUnwritten(error);
  }
  if (left.length === 0 && failure === undefined) return;
  const kinds = [...new Set(left.map(({ kind }) => kind))].join(", ");
  const what = kinds ? `Still there after its removal: ${kinds}.` : "All is gone, but not all went well.";
  throw new AppError("internal", "not-gone", failure === undefined ? what : `${what} ${messageOf(failure)}`, {
    hint: "It is tried again each minute; what keeps it is in the sentence, or see: sallyport doctor.",
    cause: failure,
  });
};

/** Of an error after all is gone: says so when it is a full disk that keeps it from being written down. */
export const goneUnwritten = (error: unknown): unknown =>
  diskFullOf(error, "the microVM is gone, and its receipt follows by itself once there is some") ?? error;

/** `ref` is missing where there is one of a kind. */
type StillThere = Pick<Left, "kind"> & Partial<Left>;

/** Rows of which nothing is there. A thing that has no row of its own keeps all of its kind: which of them it is nobody knows. Pure. */
export const rowsGone = <Row extends Left>(rows: Row[], left: StillThere[]): Row[] => {
  const isOf = (row: Left, thing: StillThere) => row.kind === thing.kind && row.ref === thing.ref;
  const unnamed = left.filter((thing) => !rows.some((row) => isOf(row, thing))).map(({ kind }) => kind);
  return rows.filter((row) => !unnamed.includes(row.kind) && !left.some((thing) => isOf(row, thing)));
};

const thingsLeft = async (deps: MicrovmDeps, vm: Microvm, { vmm, isLeft, wasStarted }: Was): Promise<StillThere[]> => {
  const ofVmm = wasStarted ? await vmm.left() : [];
  const ofNetwork = Object.entries(isLeft ? await deps.network.presence(vm) : {}).flatMap(([kind, isThere]) =>
    isThere ? [{ kind }] : [],
  );
  const folder = await unlessMissing(stat(deps.paths.vm(vm.id).root), undefined);
  return [...ofVmm, ...ofNetwork, ...(folder ? [{ kind: "directory" }] : [])];
};
