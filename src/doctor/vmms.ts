/** What runs new microVMs and why; and each VMM that could: what is wrong with one that does not is no more than a note. */
import { AppError } from "../lib/errors.ts";
import type { VmmBackend, VmmCheck } from "../vmm/vmm.ts";
import { orAfter } from "../lib/wait.ts";
import { ok, problem, warning, type Answer, type Check } from "./check.ts";
import type { Host } from "./host.ts";

/** KVM may have to be tried first. */
const CHOICE_MS = 9_000;

export const vmm: Check = {
  name: "vmm",
  needsRoot: true,
  deadlineMs: CHOICE_MS,
  look: async ({ choice, config }) => {
    const chosen = await choice();
    if (!chosen) {
      return {
        result: "unchecked",
        text: "What runs new microVMs is found out by booting an image's kernel, and there is no image.",
        remedy: "sallyport image build",
      };
    }
    if (chosen.accel === "kvm" || config.vm.accel === "emulation") return ok(chosen.why);
    return warning(
      `${chosen.why} A boot takes most of a minute.`,
      "use a machine with hardware virtualisation: bare metal, or nested virtualisation switched on",
    );
  },
};

/** `choiceMs`: how long is waited to know which backend is used. */
export const vmmChecks = ({ backends }: Host, choiceMs = CHOICE_MS - 1_000): Check[] =>
  backends.flatMap((backend) => backend.checks.map((check) => noteOf(backend, check, choiceMs)));

const noteOf = (backend: VmmBackend, check: VmmCheck, choiceMs: number): Check => ({
  ...check,
  deadlineMs: CHOICE_MS,
  look: async (host) => {
    // Nobody knows while something hangs: then what is wrong is a problem.
    const asked = orAfter(host.backend(), choiceMs, () => backend);
    const [answer, inUse] = await Promise.all([answerOf(check), asked]);
    if (answer.result === "ok" || inUse === backend) return answer;
    return { ...answer, result: "ok", text: `Not used. ${answer.text}` };
  },
});

const answerOf = async (check: VmmCheck): Promise<Answer> => {
  try {
    return await check.look();
  } catch (error) {
    if (error instanceof AppError) return problem(error.message, error.hint);
    throw error;
  }
};
