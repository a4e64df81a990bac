/** Pure: what a vitest report amounts to. Whatever went wrong outside a test counts as a failure too. */

/** @typedef {{ passed: number, failed: number, skipped: number, failures: string[] }} Tally */

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
  if (!report)
    return { passed: 0, failed: 1, skipped: 0, failures: [`${project}: ended with code ${exitCode} and no report`] };
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
 * @param {Tally[]} tallies
 * @returns {Tally}
 */
export const addUp = (tallies) => ({
  passed: tallies.reduce((sum, one) => sum + one.passed, 0),
  failed: tallies.reduce((sum, one) => sum + one.failed, 0),
  skipped: tallies.reduce((sum, one) => sum + one.skipped, 0),
  failures: tallies.flatMap((one) => one.failures),
});
