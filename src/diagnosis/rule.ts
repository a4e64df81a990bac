import type { Facts } from "../contract/diagnosis.ts";

/** One row: a cause, how it is recognised, and what is said of it. */
export interface Rule<Code extends string = string> {
  /** The word of its verdict; never renamed or reused. */
  code: Code;
  /** For the documentation: what it is recognised by, as the rest of "Given when …". */
  recognisedBy: string;
  /** True only when the facts prove it: a fact that could not be learned proves nothing. */
  when: (facts: Facts) => boolean;
  /** What happened and what it means, for people. */
  sentence: (facts: Facts) => string;
  /** The lines that prove it. */
  evidence: (facts: Facts) => string[];
  /** What to do. */
  hint: string;
  /** It keeps no guest from becoming ready: never the cause of a failure, named when nothing worse is there. */
  isMinor?: true;
}

/** As they are: so the compiler knows every code, and asks for the facts that show it. */
export const rules = <Code extends string>(rows: Rule<Code>[]): readonly Rule<Code>[] => rows;
