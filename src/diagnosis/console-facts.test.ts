import { describe, expect, test } from "vitest";
import { createConsoleParser } from "./console-facts.ts";

const parse = (text: string) => {
  const parser = createConsoleParser();
  parser.push(text);
  return parser.facts(text.length, 3);
};

const HEALTHY = `[    0.000000] Linux version 6.12.117+deb13-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP
[    3.927185] virtio_blk virtio0: [vda] 1832960 512-byte logical blocks (938 MB/895 MiB)
[    4.100000] EXT4-fs (vda): mounted filesystem 1f-2e ro with ordered data mode. Quota mode: none.
[\u001b[0;32m  OK  \u001b[0m] Started \u001b[0;1;39msallyport-agent.service\u001b[0m - Sallyport guest agent.
[  OK  ] Started sallyport-window-manager.s\u2026Sallyport window manager (openbox).
[   22.2] systemd-networkd[322]: eth0: Configuring with /run/systemd/network/70-eth0.network.
[  OK  ] Reached target multi-user.target - Multi-User System.
[   40.713063] node[300]: agent up, health on :8080
`;

describe("a console", () => {
  test("of a healthy guest shows its kernel, its units and nothing bad", () => {
    expect(parse(HEALTHY)).toEqual({
      bytes: HEALTHY.length,
      kernelVersion: "6.12.117+deb13-cloud-amd64",
      panic: null,
      oops: null,
      mountFailure: null,
      shutdown: null,
      isEmergencyShell: false,
      oomKills: [],
      failedUnits: [],
      networkFile: "/run/systemd/network/70-eth0.network",
      marks: [
        "the kernel started",
        "the kernel found its disk",
        "the agent's process started",
        "eth0 was configured",
        "the agent was up",
      ],
      unitStarts: { "sallyport-agent.service": 1 },
      agentDeaths: 0,
      tail: expect.arrayContaining(["[   40.713063] node[300]: agent up, health on :8080"]),
      lastLineAgeSec: 3,
    });
  });

  test.each([
    ["panic", "[   9.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"],
    ["oops", "[   9.1] BUG: kernel NULL pointer dereference, address: 0000000000000008"],
    [
      "mountFailure",
      "[   9.1] EXT4-fs error (device vda): ext4_lookup:1813: inode #2: comm init: deleted inode referenced: 12",
    ],
    ["mountFailure", "[   9.1] EXT4-fs (vda): VFS: Can't find ext4 filesystem"],
    ["mountFailure", "[   9.1] blk_update_request: I/O error, dev vda, sector 2"],
    ["mountFailure", "[   9.1] VFS: Unable to mount root fs on unknown-block(0,0)"],
    ["mountFailure", "mount: mounting /dev/vda on /root failed: Invalid argument"],
    ["mountFailure", "ALERT!  /dev/vda does not exist.  Dropping to a shell!"],
    ["mountFailure", "run-init: can't execute '/sbin/init': No such file or directory"],
    ["shutdown", "[  99.1] reboot: Restarting system"],
    ["shutdown", "[  99.1] reboot: Power down"],
  ] as const)("with its %s: %s", (field, line) => {
    expect(parse(`${HEALTHY}${line}\n`)[field]).toBe(line.replace(/^.*?(?=Kernel panic|BUG: |reboot: )/, ""));
  });

  test.each(["You are in emergency mode. After logging in, type", "(initramfs) "])(
    "of an emergency shell: %s",
    (line) => {
      expect(parse(`${HEALTHY}${line}\n`).isEmergencyShell).toBe(true);
    },
  );

  test("of a guest without memory names each kill", () => {
    const kill = "Out of memory: Killed process 417 (firefox-esr) total-vm:3071040kB";
    expect(parse(`${HEALTHY}[   50.1] ${kill}\n[   51.2] ${kill}\n`).oomKills).toEqual([kill, kill]);
  });

  test("of a unit that starts again and again counts its starts, and names what failed", () => {
    const again = "[  OK  ] Started sallyport-agent.service - Sallyport guest agent.\n";
    const facts = parse(
      `${HEALTHY}${again}${again}[FAILED] Failed to start sallyport-agent.service - Sallyport guest agent.\n`,
    );
    expect(facts.unitStarts["sallyport-agent.service"]).toBe(3);
    expect(facts.failedUnits).toEqual(["sallyport-agent.service"]);
  });

  test("keeps no URL's query and no escape sequence", () => {
    expect(parse("\u001b[31mopened https://login.example/cb?code=secret done\n").tail).toEqual([
      "opened https://login.example/cb?[cut] done",
    ]);
  });

  test("made to be hard to read is read in time", { timeout: 2000 }, () => {
    const hostile = `${"EXT4-fs ".repeat(130_000)}\n${"[\u001b]".repeat(50_000)}\n${"reboot mount: /root: ".repeat(30_000)}`;
    expect(parse(hostile).panic).toBeNull();
  });
});

test("a console read in pieces shows the same as one read at once, wherever it is broken up", () => {
  const text = `${HEALTHY}[  OK  ] Started sallyport-agent.service - again.\r\n[FAILED] Failed to start x.service - X.
${"y".repeat(3000)} Kernel panic - not syncing: seen by nobody
[   9.1] node[7]: Node.js v20.19.2\n(initramfs) `;
  const whole = parse(text);
  expect(whole).toMatchObject({ isEmergencyShell: true, panic: null, failedUnits: ["x.service"], agentDeaths: 1 });
  for (let step = 1; step < 200; step++) {
    const parser = createConsoleParser();
    for (let at = 0; at < text.length; at += step) parser.push(text.slice(at, at + step));
    expect(parser.facts(text.length, 3)).toEqual(whole);
  }
});

test("an agent that dies again and again is counted by its last words, each process once", () => {
  const death = (pid: number): string =>
    `[  13.1] node[${pid}]: Error: the agent cannot start\n[  13.2] node[${pid}]: Node.js v20.19.2\n`;
  const facts = parse(death(339) + death(512) + death(512) + "[  14.0] node[600]: agent up\n");
  expect(facts.agentDeaths).toBe(2);
});
