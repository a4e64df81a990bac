/** Not rules: what is said when none of them fits. */
export const NOTHING_WRONG = "nothing-wrong";
export const UNKNOWN = "unknown";
/** Asked for while a stage is still in time, and nothing is wrong so far. */
export const STILL_BOOTING = "still-booting";
