#!/usr/bin/env node
import { ensureReady, goOn, reportAndExit } from "../scripts/prepare.mjs";
import { Refusal } from "../scripts/refusal.mjs";

const [command, ...rest] = process.argv.slice(2);
try {
  // The demo needs development packages and system packages of its own; its npm script sees to both.
  if (command === "demo")
    throw new Refusal(
      "The demo is part of a checkout, not of the installed program.",
      `In a checkout of Sallyport: npm run demo -- ${rest.join(" ")}`.trim(),
    );
  await ensureReady();
  process.exitCode = await goOn(["dist/main.js", ...process.argv.slice(2)]);
} catch (error) {
  reportAndExit(error);
}
