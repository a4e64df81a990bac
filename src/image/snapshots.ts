/**
 * Warm snapshots on disk: `<snapshots>/<key>-<8 hex digits>/` holds a manifest and, in `machine/`, what a VMM froze. One that is being made
 * has another name until it is whole, and one that is replaced stays as it is until nobody begins with it any more. Only root comes in: the
 * memory of a template is that of all its clones before they were renewed.
 */
import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GUEST_PROTOCOL } from "../contract/guest.ts";
import {
  snapshotInputs,
  snapshotManifest,
  type SnapshotInputs,
  type SnapshotManifest,
} from "../contract/snapshot-manifest.ts";
import { AppError } from "../lib/errors.ts";
import { whyNotOurs } from "../lib/guarded-path.ts";
import { diskFreeMib } from "../lib/host-room.ts";
import { jsonOf } from "../lib/json.ts";
import type { DataPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { Image } from "./store.ts";
import { digestOfFile, digestOfValue, hexOf } from "./digest.ts";

export interface Snapshot extends SnapshotManifest {
  /** What a VMM restores from. */
  folder: string;
}

/** A folder for a VMM to freeze a machine into. */
export interface UnfinishedSnapshot {
  folder: string;
  /** Takes it over, complete as it is now. */
  finish: (made: Pick<SnapshotManifest, "madeAt" | "coldMs">, signal?: AbortSignal) => Promise<Snapshot>;
  /** Idempotent; nothing when it was finished. */
  discard: () => Promise<void>;
}

export type SnapshotStore = ReturnType<typeof createSnapshotStore>;

/** `ground`: as the backend says it (`Snapshots.ground` of src/vmm/vmm.ts); `vm`: that of the configuration. */
export const inputsOf = (
  { digest }: Pick<Image, "digest">,
  ground: Readonly<Record<string, string>>,
  { vcpuCount, memoryMib }: SnapshotInputs["machine"],
): SnapshotInputs => ({
  imageDigest: digest,
  ground: { ...ground },
  protocol: GUEST_PROTOCOL,
  machine: { vcpuCount, memoryMib },
});

const HOUR_MS = 3_600_000;

/** Made within so many hours; one from the future was made before somebody set the clock. */
export const isFresh = ({ madeAt }: Pick<Snapshot, "madeAt">, hours: number): boolean => {
  const ageMs = Date.now() - Date.parse(madeAt);
  return ageMs >= 0 && ageMs < hours * HOUR_MS;
};

export const snapshotKey = (inputs: SnapshotInputs): string => digestOfValue(snapshotInputs.parse(inputs));

const FINISHED = /^[0-9a-f]{64}-[0-9a-f]{8}$/;
const UNFINISHED = /^[0-9a-f]{64}-[0-9a-f]{8}\.new$/;

const isOf = (name: string, key: string): boolean => FINISHED.test(name) && name.startsWith(`${hexOf(key)}-`);

const newestFirst = (a: Pick<Snapshot, "madeAt">, b: Pick<Snapshot, "madeAt">): number =>
  b.madeAt.localeCompare(a.madeAt);

export const createSnapshotStore = ({ snapshots }: Pick<DataPaths, "snapshots">) => {
  /** Files whose checksums were right, as they were then. */
  const checked = new Map<string, string>();
  /** Folders that this process makes one in. */
  const begun = new Set<string>();

  /** Throws AppError `snapshot-damaged`. */
  const read = async (name: string): Promise<Snapshot> => {
    const root = join(snapshots, name);
    for (const folder of [root, join(root, "machine")]) await requireRoots(folder, "folder");
    const manifestFile = join(root, "manifest.json");
    await requireRoots(manifestFile, "file");
    const manifest = snapshotManifest.safeParse(jsonOf(await readFile(manifestFile, "utf8"))).data;
    if (!manifest || snapshotKey(manifest.inputs) !== manifest.key || !isOf(name, manifest.key)) {
      throw damaged(`${manifestFile} is not what was written`);
    }
    return { ...manifest, folder: join(root, "machine") };
  };

  /** Throws AppError `snapshot-damaged`. */
  const names = async (): Promise<string[]> => {
    if (!(await isThere(snapshots))) return [];
    await requireRoots(snapshots, "folder");
    return readdir(snapshots);
  };

  const checking = new Map<string, Promise<void>>();

  /** Reads all of a file that is not as it was when it was read last; once for all who ask meanwhile. */
  const check = (path: string, wanted: SnapshotManifest["files"][string], signal?: AbortSignal): Promise<void> => {
    const asked = checking.get(path) ?? readWhole(path, wanted, signal).finally(() => checking.delete(path));
    checking.set(path, asked);
    return asked;
  };

  const readWhole = async (path: string, wanted: SnapshotManifest["files"][string], signal?: AbortSignal) => {
    const seen = await lookOf(path);
    if (!seen) throw damaged(`${path} is missing`);
    await requireRoots(path, "file");
    if (checked.get(path) === seen.look) return;
    if (seen.bytes !== wanted.bytes) {
      throw damaged(`${path} has ${seen.bytes} bytes, but was made with ${wanted.bytes}`);
    }
    const digest = await digestOfFile(path, signal);
    if (digest !== wanted.digest) throw damaged(`${path} is ${digest}, but was made as ${wanted.digest}`);
    checked.set(path, seen.look);
  };

  /** All that say what they are; nothing of them is checked. Throws AppError `snapshot-damaged` where the folder is not root's own. */
  const list = async (): Promise<Snapshot[]> => {
    const finished = (await names()).filter((name) => FINISHED.test(name));
    // A damaged one says nothing that could be believed; who uses it is told.
    const found = await Promise.all(finished.map((name) => read(name).catch(() => undefined)));
    return found.filter((one) => one !== undefined).toSorted(newestFirst);
  };

  return {
    list,

    /**
     * The one of these inputs, whole: what was not read since this process started, or was written since, is read. Undefined: there is none.
     * Throws AppError `snapshot-damaged`.
     */
    find: async (key: string, signal?: AbortSignal): Promise<Snapshot | undefined> => {
      const found = await Promise.allSettled((await names()).filter((name) => isOf(name, key)).map(read));
      const [snapshot] = found.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])).toSorted(newestFirst);
      if (!snapshot) {
        // Of one that is damaged another one may have been made.
        for (const one of found) if (one.status === "rejected") throw one.reason;
        return undefined;
      }
      const { folder, files } = snapshot;
      for (const [name, file] of Object.entries(files)) await check(join(folder, name), file, signal);
      const there = (await readdir(folder)).toSorted().join();
      if (there !== Object.keys(files).toSorted().join()) throw damaged(`${folder} has other files: ${there}`);
      return snapshot;
    },

    /** What it takes on disk: memory that was never written to takes nothing. */
    bytesOf: async ({ folder, files }: Snapshot): Promise<number> => {
      const found = await Promise.all(
        Object.keys(files).map((name) => unlessMissing(stat(join(folder, name)), undefined)),
      );
      return found.reduce((sum, file) => sum + (file?.blocks ?? 0) * 512, 0);
    },

    /** Throws AppError `no-room` where the disk could not take all of the machine's memory. */
    begin: async (inputs: SnapshotInputs): Promise<UnfinishedSnapshot> => {
      const key = snapshotKey(inputs);
      const finished = join(snapshots, `${hexOf(key)}-${randomBytes(4).toString("hex")}`);
      const root = `${finished}.new`;
      const folder = join(root, "machine");
      await mkdir(snapshots, { recursive: true, mode: 0o700 });
      await requireRoots(snapshots, "folder");
      await requireRoom(snapshots, inputs.machine.memoryMib);
      begun.add(root);
      await mkdir(root, { mode: 0o700 });
      await mkdir(folder, { mode: 0o700 });
      return {
        folder,
        finish: async (made, signal) => {
          const files: SnapshotManifest["files"] = {};
          const looks = new Map<string, string>();
          for (const name of await readdir(folder)) {
            const path = join(folder, name);
            const seen = await lookOf(path);
            if (!seen) throw damaged(`${path} is missing`);
            files[name] = { digest: await digestOfFile(path, signal), bytes: seen.bytes };
            looks.set(name, seen.look);
          }
          const manifest: SnapshotManifest = { format: 1, key, inputs, ...made, files };
          await writeFile(join(root, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o400 });
          await rename(root, finished);
          const now = join(finished, "machine");
          for (const [name, look] of looks) checked.set(join(now, name), look);
          return { ...manifest, folder: now };
        },
        discard: async () => {
          await rm(root, { recursive: true, force: true });
          begun.delete(root);
        },
      };
    },

    /** All of these inputs, or one of them. Clones that run keep what they have of it. */
    remove: async (key: string, one?: Pick<Snapshot, "folder">): Promise<void> => {
      const roots = (await names()).filter((name) => isOf(name, key)).map((name) => join(snapshots, name));
      for (const root of roots) {
        if (!one || one.folder === join(root, "machine")) await rm(root, { recursive: true, force: true });
      }
    },

    /**
     * All but the newest of these inputs, and what a process that is no more began. Throws AppError `snapshot-damaged` where the folder is not
     * root's own.
     */
    keepOnly: async (key: string | undefined): Promise<string[]> => {
      const all = await names();
      const [kept] = key === undefined ? [] : (await list()).filter((one) => one.key === key);
      const old = all.filter((name) => {
        if (UNFINISHED.test(name)) return !begun.has(join(snapshots, name));
        // One that is damaged is found out by who reads it.
        const isWanted = key !== undefined && isOf(name, key);
        return FINISHED.test(name) && !(isWanted && (!kept || kept.folder === join(snapshots, name, "machine")));
      });
      for (const name of old) await rm(join(snapshots, name), { recursive: true, force: true });
      return old;
    },
  };
};

/** Beyond the memory, for all else that is written meanwhile: the disk is others', too. */
const SPARE_MIB = 256;

/** Disk that must be free to make one of a machine with that much memory. */
export const neededMib = (memoryMib: number): number => memoryMib + SPARE_MIB;

/** Looked at before a machine boots for it: when the disk is full in the middle, its VMM ends without a word, and others' writes fail, too. */
const requireRoom = async (folder: string, memoryMib: number): Promise<void> => {
  const freeMib = await diskFreeMib(folder);
  if (freeMib >= neededMib(memoryMib)) return;
  const sentence = `A warm snapshot may take ${neededMib(memoryMib)} MiB of disk, and ${freeMib} MiB are free in ${folder}.`;
  throw new AppError("unavailable", "no-room", sentence, {
    hint: "Make room there, or give guests less memory (vm.memoryMib). Sessions boot meanwhile.",
  });
};

const isThere = async (path: string): Promise<boolean> => (await unlessMissing(lstat(path), undefined)) !== undefined;

/** What another user, or a link, brought in is not believed: its checksums are in it. Throws AppError `snapshot-damaged`. */
const requireRoots = async (path: string, kind: "folder" | "file"): Promise<void> => {
  const status = await unlessMissing(lstat(path), undefined);
  const fault = status ? whyNotOurs(status, kind) : "is missing";
  if (fault !== undefined) throw damaged(`${path} ${fault}`);
};

/** What changes when somebody puts another file there, or writes to it. */
const lookOf = async (path: string): Promise<{ bytes: number; look: string } | undefined> => {
  const found = await unlessMissing(stat(path, { bigint: true }), undefined);
  return found && { bytes: Number(found.size), look: `${found.ino} ${found.size} ${found.mtimeNs}` };
};

const damaged = (what: string): AppError =>
  new AppError("internal", "snapshot-damaged", `The warm snapshot is damaged: ${what}.`, {
    hint: "Nothing has to be done: sessions boot cold until another one is made.",
  });
