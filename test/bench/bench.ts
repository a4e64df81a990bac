/** What a benchmark is handed, and what it answers. */
import type { VmmName } from "../../src/lib/vmm-names.ts";

/** The page's words for it, and numbers for programs. */
export interface Section {
  /** First row: the heads. */
  table: string[][];
  /** Paragraphs below it: what bounds a figure that is not reached, and how that was seen. */
  notes: string[];
  figures: Record<string, unknown>;
}

export interface BenchContext {
  /** Whose microVMs are measured, where they are real. */
  backend: VmmName;
  /** Of real guests, restored and cold, which take minutes; others have their own number. Cold may be 0. */
  rounds: number;
  coldRounds: number;
  /** The tests' images, and what is kept between runs. */
  cacheDir: string;
  say: (line: string) => void;
  signal: AbortSignal;
}

export interface Benchmark {
  /** One line: what is measured. */
  title: string;
  /** What was wished for, and what it is measured beside. */
  about: string;
  run: (context: BenchContext) => Promise<Section>;
}
