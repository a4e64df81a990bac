/** How Firecracker says why it ended: its own exit codes, in words for a log and a verdict. */

/** Those of Firecracker 1.12 to 1.17; 12 and 137 are what is seen when memory runs out. */
const WORDS: Readonly<Record<number, string>> = {
  // Neither is told from the other: a microVM has no power button, and its reset ends the process.
  0: "the guest shut down or restarted",
  1: "the VMM gave up with an error of its own",
  2: "the VMM gave up with an error of its own",
  12: "memory ran out",
  137: "it was killed, as happens when memory runs out",
  148: "it made a system call that its filter forbids",
  149: "memory or a file that it uses was gone (SIGBUS)",
  150: "it used memory that it does not have (SIGSEGV)",
  151: "a file that it writes reached its limit (SIGXFSZ)",
  152: "its configuration was refused",
  153: "its arguments were refused",
  154: "it was ended by a signal (SIGXCPU)",
  155: "it was ended by a signal (SIGPIPE)",
  156: "it was ended by a signal (SIGHUP)",
  157: "it was ended by a signal (SIGILL)",
};

/** `how`: as a process is said to have ended, e.g. `ended with code 148`; with the code's meaning behind it. Pure. */
export const explainExit = (how: string): string => {
  const code = /^ended with code (\d+)$/.exec(how)?.[1];
  const words = code === undefined ? undefined : WORDS[Number(code)];
  return words === undefined ? how : `${how}: ${words}`;
};
