/** Every verdict that a rule can give, with the fault of test/faults that shows it. Codes are never renamed or reused. */
export const RULE_CODES = [
  // The host, before the guest matters.
  "host-disk-full", // 22
  "guest-floods", // it cost this host too much over its channel, which was closed
  "vmm-killed", // 21: process gone, and the console shows neither a panic nor a shutdown
  "guest-rebooted", // process gone after the guest's own shutdown or restart
  "vmm-stopped", // process there, and its machine stands still
  // The guest's kernel and its first programs.
  "root-file-system-damaged", // 20
  "kernel-panic",
  "kernel-silent", // nothing on the console at all: KVM that hangs, a wrong kernel
  "emergency-shell",
  "out-of-memory", // 19
  "agent-crashes", // 17
  // The guest's network, from the device upwards.
  "nic-missing", // 5
  "nic-driver-missing", // 6
  "networkd-masked", // 7
  "network-file-overrides", // 1
  "ip-parameter-missing", // 2
  "ip-parameter-asks-dhcp", // 3
  "ip-parameter-other-device", // 4
  "setup-script-not-executable", // 9
  "setup-unit-not-enabled", // 8
  "address-taken", // 16
  "address-not-leased", // as 16, when nobody else has the address
  "gateway-wrong", // 11
  // The host's side of the network.
  "tap-missing",
  "tap-down", // 12
  "tap-not-on-bridge", // 13
  "tap-not-open", // made anew under a VMM that has the old one open
  "bridge-missing",
  "bridge-down",
  "bridge-without-address", // 14
  "firewall-table-missing", // 15, when the whole table is gone
  "firewall-drops-guest", // 15, when the guest is not in the set of guests
  "foreign-firewall-drops", // 15, when another table drops
  "neighbour-missing",
  "forwarding-entry-missing",
  "forwarding-off",
  "resolver-gone",
  // What runs in the guest.
  "agent-on-loopback", // 18
  "display-not-starting", // 23
  "browser-crashing", // 24
  "unit-failed", // any other unit that failed
  "agent-silent", // nobody answers on the channel, and nothing above says why
  // Harmless by itself.
  "unit-output-not-on-console", // 10
] as const;
export type RuleCode = (typeof RULE_CODES)[number];

/** Not rules: what is said when none of them fits. */
export const NOTHING_WRONG = "nothing-wrong";
export const UNKNOWN = "unknown";
/** Asked for while a stage is still in time, and nothing is wrong so far. */
export const STILL_BOOTING = "still-booting";
