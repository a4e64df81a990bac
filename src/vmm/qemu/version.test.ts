import { expect, test } from "vitest";
import { checkedVersion } from "./version.ts";

test.each([
  ["QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright", "10.0.2"],
  ["QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.4)", "8.2.2"],
  ["QEMU emulator version 9.1", "9.1.0"],
])("takes %j", (output, version) => expect(checkedVersion(output)).toBe(version));

test.each(["QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "QEMU emulator version 8.1.5"])(
  "refuses %j",
  (output) => expect(() => checkedVersion(output)).toThrow(/QEMU \d\.\d\.\d+ is too old.*8\.2 or newer/),
);

test("refuses what names no version", () => {
  expect(() => checkedVersion("hello")).toThrow("does not say which version");
});
