#!/usr/bin/env node
import { ensureReady, goOn, reportAndExit } from "../scripts/prepare.mjs";

try {
  await ensureReady();
  process.exitCode = await goOn(["dist/main.js", ...process.argv.slice(2)]);
} catch (error) {
  reportAndExit(error);
}
