import { setTimeout as sleep } from "node:timers/promises";
import type { WarmView } from "../contract/api.ts";
import { AppError } from "../lib/errors.ts";
import type { Client } from "./client.ts";

export type WarmSnapshot = NonNullable<WarmView["snapshot"]>;

const ASK_MS = 500;

/**
 * Has the controller make a warm snapshot, or waits for the one that it is making; `onDoing` is told each step, in words. Whoever stops
 * waiting stops nothing. Throws AppError `no-snapshot` with the reason.
 */
export const makeWarmSnapshot = async (
  client: Pick<Client, "warm" | "makeWarm">,
  { onDoing, signal }: { onDoing: (what: string) => void; signal: AbortSignal },
): Promise<WarmSnapshot> => {
  let view = await client.makeWarm();
  for (let told: string | null = null; view.doing !== null; view = await client.warm()) {
    if (view.doing !== told) onDoing(view.doing);
    told = view.doing;
    await sleep(ASK_MS, undefined, { signal });
  }
  if (view.failure === null && view.snapshot) return view.snapshot;
  const sentence = `No warm snapshot could be made: ${view.failure ?? "it is gone again."}`;
  throw new AppError("unavailable", "no-snapshot", sentence, {
    hint: "Sessions boot meanwhile. The controller's log has more.",
  });
};
