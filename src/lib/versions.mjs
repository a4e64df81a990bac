/** Versions of programs, compared. Plain JavaScript for any Node: what a host must have is asked before there are packages. */

/**
 * Below 0, 0 or above 0, as for a sort, part by part; what a version leaves out counts as 0, what is before a release (`-dev`) as the
 * release. Pure.
 * @param {string} one
 * @param {string} other
 */
export const compareVersions = (one, other) => {
  const partsOf = (/** @type {string} */ version) =>
    version
      .replace(/[-+].*/, "")
      .split(".")
      .map(Number);
  const ones = partsOf(one);
  const others = partsOf(other);
  for (let at = 0; at < Math.max(ones.length, others.length); at += 1) {
    const difference = (ones[at] ?? 0) - (others[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
};

/**
 * Whether the first dotted number in a text is at least `wanted`; without one it is not. Pure.
 * @param {string} text
 * @param {string} wanted
 */
export const isAtLeast = (text, wanted) => compareVersions(/\d+(?:\.\d+)+/.exec(text)?.[0] ?? "0", wanted) >= 0;
