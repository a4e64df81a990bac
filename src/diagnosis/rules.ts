/**
 * What each verdict is recognised by. The table is in the order of causes: a row stands above every row that can follow from
 * it, and the first that fits is the cause. docs/adding-a-rule.md says how to add one.
 */
import { BOOT_RULES } from "./rules/boot.ts";
import { GUEST_ADDRESS_RULES } from "./rules/guest-address.ts";
import { GUEST_NETWORK_RULES } from "./rules/guest-network.ts";
import { HOST_NETWORK_RULES } from "./rules/host-network.ts";
import { PROGRAM_RULES } from "./rules/programs.ts";
import { VMM_RULES } from "./rules/vmm.ts";

export const RULES = [
  ...VMM_RULES,
  ...BOOT_RULES,
  ...HOST_NETWORK_RULES,
  ...GUEST_NETWORK_RULES,
  ...GUEST_ADDRESS_RULES,
  ...PROGRAM_RULES,
];

export type RuleCode = (typeof RULES)[number]["code"];

/** Undefined for a code that no rule has. */
export const isMinor = (code: string): boolean | undefined => {
  const rule = RULES.find((one) => one.code === code);
  return rule && rule.isMinor === true;
};
