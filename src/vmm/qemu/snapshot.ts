/**
 * A snapshot of QEMU's: the guest's memory, which is a file from the template's start on, so that nothing is copied, and the devices' state.
 * QEMU finds both in its room, each a file that is there already: it can make no other beside them.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { MIB } from "../../lib/units.ts";
import { refused } from "../conversation.ts";
import { FROZEN_FILES } from "../frozen.ts";
import type { MicrovmSpec } from "../vmm.ts";
import { ROOM } from "./jail.ts";
import type { Execute } from "./qmp.ts";

/** For the template's QEMU to write into; of the memory only what the guest used takes space. */
export const makeSnapshotFiles = async (folder: string, { uid, memoryMib }: MicrovmSpec): Promise<void> => {
  for (const name of FROZEN_FILES) {
    await using file = await open(join(folder, name), "wx", 0o600);
    // By us, as the limit on file sizes is for what the VMM's user makes.
    if (name === "memory") await file.truncate(memoryMib * MIB);
    await file.chown(uid, uid);
  }
};

const STATE = `file:${ROOM.snapshot.state}`;
/** Memory in a file is left where it is. */
const CAPABILITIES = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

/** The machine stands still, and its state is written. Throws as `Execute`. */
export const saveState = async (execute: Execute): Promise<void> => {
  await execute("stop");
  await execute("migrate-set-capabilities", CAPABILITIES);
  await execute("migrate", { uri: STATE });
  await untilMigrated(execute, "migrate");
};

/** Of a machine that was started for it and stands still. Throws as `Execute`. */
export const loadState = async (execute: Execute): Promise<void> => {
  await execute("migrate-set-capabilities", CAPABILITIES);
  await execute("migrate-incoming", { uri: STATE });
  await untilMigrated(execute, "migrate-incoming");
};

const progress = z.object({ status: z.string().optional(), "error-desc": z.string().optional() });

/** Waits twice as long each time: what QEMU may say in one conversation is bounded. Whoever speaks to it has the deadline. */
const untilMigrated = async (execute: Execute, command: string): Promise<void> => {
  for (let waitMs = 5; ; waitMs = Math.min(2 * waitMs, 500)) {
    const { status = "none", "error-desc": why = "" } = progress.parse(await execute("query-migrate"));
    if (status === "completed") return;
    if (["failed", "cancelled"].includes(status)) throw refused("QEMU", command, why, status);
    await sleep(waitMs);
  }
};
