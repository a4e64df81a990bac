/** The part of a microVM's directory that belongs to its VMM's user. */
import { chmod, chown, mkdir, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { VmPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { Left, MicrovmSpec, StartHooks, VmmRecord } from "./vmm.ts";

/** A folder in a microVM's directory that has a row of its own in the ledger. */
export const ownFolder = (kind: string, name: string) => ({
  kind,
  ref: (vmId: string): string => `${vmId}/${name}`,
  path: (paths: VmPaths): string => join(paths.root, name),
  /** While it is there. */
  left: async ({ vmId, paths }: VmmRecord): Promise<Left[]> =>
    (await unlessMissing(stat(join(paths.root, name)), undefined)) ? [{ kind, ref: `${vmId}/${name}` }] : [],
});

const SOCKETS = ownFolder("sockets", "run");

/** Where a VMM has its sockets. */
export const runFolder = SOCKETS.path;

export const leftInFolder = SOCKETS.left;

/**
 * What the VMM's user needs in the microVM's directory, and no more: to pass through it, and its sockets. Its console it is handed
 * open: of a file of its own it could keep everybody who opens it waiting, run it, or change whose it is.
 */
export const handOver = async (
  { vmId, paths, uid }: MicrovmSpec,
  { acquire }: Pick<StartHooks, "acquire">,
): Promise<void> => {
  const run = runFolder(paths);
  await chown(paths.root, -1, uid);
  await chmod(paths.root, 0o710);
  await acquire(SOCKETS.kind, SOCKETS.ref(vmId));
  await mkdir(run, { recursive: true, mode: 0o700 });
  await chown(run, uid, uid);
  await (await open(paths.console, "a", 0o600)).close();
};

/**
 * To be done before the guest runs, when all sockets are open: from then on whoever takes the VMM over has no folder to fill with
 * files, whose sizes alone are bounded, and cannot put anything in a socket's place.
 */
export const seal = (paths: VmPaths): Promise<void> => chown(runFolder(paths), 0, 0);

/** The microVM that each user was given the folder of, among those in `vms`; none for a user of several. Root may look. */
export const holdersIn = async (vms: string): Promise<Map<number, string>> => {
  const names = await unlessMissing(readdir(vms), [], ["ENOENT", "EACCES"]);
  const folders = await Promise.all(
    names.map(async (name) => ({ name, user: (await unlessMissing(stat(join(vms, name)), undefined))?.gid })),
  );
  const byUser = [...Map.groupBy(folders, ({ user }) => user)];
  return new Map(
    byUser.flatMap(([user, [one, ...more]]) =>
      user !== undefined && one && more.length === 0 ? [[user, one.name]] : [],
    ),
  );
};
