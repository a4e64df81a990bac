/** Pure: what a vitest report amounts to. Whatever went wrong outside a test counts as a failure too. */

/**
 * @typedef {object} Tally
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {string[]} failures
 * @property {string[]} [notRun] why whole kinds of tests were skipped
 */

/**
 * The parts of vitest's JSON report that are read.
 * @typedef {object} Report
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ name: string, status: string, assertionResults: { status: string, fullName: string }[] }[]} testResults
 */

/**
 * @param {string} project
 * @param {number} exitCode vitest's
 * @param {Report | undefined} report undefined: it died before writing one
 * @param {string} root cut off from file names
 * @returns {Tally}
 */
export const tallyOf = (project, exitCode, report, root) => {
  if (!report) return failed(project, `ended with code ${exitCode} and no report`);
  const failures = report.testResults.flatMap((file) => {
    const name = file.name.replace(`${root}/`, "");
    const failed = file.assertionResults.filter((result) => result.status === "failed");
    if (failed.length > 0) return failed.map((result) => `${name}: ${result.fullName}`);
    // The file itself could not be loaded, or a hook of it failed.
    return file.status === "failed" ? [`${name}: outside a test`] : [];
  });
  if (exitCode !== 0 && failures.length === 0)
    failures.push(`${project}: ended with code ${exitCode} though no test failed`);
  return {
    passed: report.numPassedTests,
    failed: failures.length,
    skipped: report.numPendingTests + report.numTodoTests,
    failures,
  };
};

/**
 * A kind of tests that came to no end.
 * @param {string} project
 * @param {string} sentence
 * @returns {Tally}
 */
export const failed = (project, sentence) => ({
  passed: 0,
  failed: 1,
  skipped: 0,
  failures: [`${project}: ${sentence}`],
});

/**
 * A kind of tests that this machine cannot run: counted as skipped, and said.
 * @param {string} project
 * @param {string} why
 * @returns {Tally}
 */
export const notRun = (project, why) => ({
  passed: 0,
  failed: 0,
  skipped: 1,
  failures: [],
  notRun: [`${project}: ${why}`],
});

/**
 * @param {Tally[]} tallies
 * @returns {Tally}
 */
export const addUp = (tallies) => ({
  passed: tallies.reduce((sum, one) => sum + one.passed, 0),
  failed: tallies.reduce((sum, one) => sum + one.failed, 0),
  skipped: tallies.reduce((sum, one) => sum + one.skipped, 0),
  failures: tallies.flatMap((one) => one.failures),
  notRun: tallies.flatMap((one) => one.notRun ?? []),
});

/**
 * The end of a run, for people: what failed, what was not run, the sum.
 * @param {Tally} tally
 */
export const linesOf = ({ passed, failed: broken, skipped, failures, notRun: left = [] }) => {
  const list = (/** @type {string} */ title, /** @type {string[]} */ items) =>
    items.length > 0 ? ["", `${title}:`, ...items.map((item) => `  ${item}`)] : [];
  const sum = `${passed} passed, ${broken} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  return `${[...list("Failed", failures), ...list("Not run", left), "", sum].join("\n")}\n`;
};

/**
 * Nothing that passed is no success.
 * @param {Tally} tally
 */
export const exitCodeFor = ({ passed, failed: broken }) => (broken === 0 && passed > 0 ? 0 : 1);
