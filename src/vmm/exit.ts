/** What the end of a VMM's process means: by its signal for every VMM alike, by its code as the backend says. */
import type { VmmEnd } from "../contract/diagnosis.ts";

/** What a backend's VMM means by the codes that it ends with itself; 0 and what is not here need no entry. */
export type ExitCodes = Readonly<Record<number, VmmEnd>>;

/** `exit` as `exitIn` reads it from the VMM's log; null when nobody saw it end. Pure. */
export const endOf = (exit: string | null, codes: ExitCodes): VmmEnd | null => {
  if (exit === null) return null;
  const signal = /\bSIG[A-Z]+\b/.exec(exit)?.[0];
  if (signal !== undefined) return SIGNALS[signal] ?? "killed";
  const code = Number(/^ended with code (\d+)$/.exec(exit)?.[1]);
  return code === 0 ? "by-itself" : (codes[code] ?? "failed");
};

/** Those that a process brings upon itself; all others come from somebody else. */
const SIGNALS: Record<string, VmmEnd> = {
  SIGSYS: "call-refused",
  SIGBUS: "memory-gone",
  SIGSEGV: "crashed",
  SIGABRT: "crashed",
  SIGILL: "crashed",
  SIGFPE: "crashed",
  SIGTRAP: "crashed",
  SIGXFSZ: "file-too-large",
};
