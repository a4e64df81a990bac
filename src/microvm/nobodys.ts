/** MicroVMs that belong to no session, while somebody here looks after them: the reaper takes all others. */
import type { Image } from "../image/store.ts";
import { allotMicrovm } from "./allot.ts";
import { destroyMicrovm } from "./destroy.ts";
import type { MicrovmDeps } from "./microvm.ts";
import type { Microvm } from "./store.ts";

export type Nobodys = ReturnType<typeof createNobodys>;

export const createNobodys = (deps: MicrovmDeps) => {
  const ids = new Set<string>();
  return {
    /** Throws AppError `pool-exhausted`. */
    begin: async (image: Pick<Image, "digest">, chosen: Pick<Microvm, "backend" | "accel" | "why">): Promise<Microvm> =>
      deps.db.transaction().execute(async (transaction) => {
        const { config } = deps;
        const createdAt = new Date().toISOString();
        const vm = await allotMicrovm(transaction, { image, chosen, config, sessionId: null, createdAt });
        // Before anybody else can see it.
        ids.add(vm.id);
        return vm;
      }),

    /** Throws as `destroyMicrovm`: what will not go is the reaper's from then on. */
    end: async (vm: Microvm): Promise<void> => {
      try {
        await destroyMicrovm(deps, vm);
      } finally {
        ids.delete(vm.id);
      }
    },

    /** It is a session's from now on. */
    forget: (vmId: string): void => void ids.delete(vmId),

    has: (vmId: string): boolean => ids.has(vmId),
  };
};
