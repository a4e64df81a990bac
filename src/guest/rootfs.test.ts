/** Defences that are a word in a file of the image: each is here with what it is for, so that none goes by accident. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { CHANNEL_VSOCK_PORT } from "../contract/guest.ts";
import { run } from "../lib/exec.ts";
import { CHANNEL_SOCKET } from "./device.ts";

const textOf = (path: string): Promise<string> => readFile(new URL(`rootfs/${path}`, import.meta.url), "utf8");

/** Values of a key in a unit file, in order. */
const inUnit = async (unit: string, key: string): Promise<string[]> =>
  [...(await textOf(`etc/systemd/system/${unit}`)).matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(
    ([, value = ""]) => value,
  );

const XVNC_FLAGS: Record<string, string> = {
  ":1": "the display that the browser's and the window manager's units name",
  "-rfbport 5901": "the port that the host looks at and relays",
  "-geometry ${SCREEN}": "the recipe's size",
  "-depth 24": "colours as people know them",
  "-SecurityTypes None": "no password to be guessed or kept: the bridge port is isolated, and only the host gets there",
  "-UseBlacklist=0": "the host's own looks, which break off after the greeting, must not shut it out",
  "-NeverShared": "one viewer at a time: nobody watches a sign-in beside who is paired",
  "-DisconnectClients=0": "and who comes second is refused, instead of throwing the first one out",
  "-SendCutText=0": "what is copied in the guest stays there",
  "-SendPrimary=0": "what is only selected, too",
  "-AcceptCutText=0": "what the viewer copied elsewhere, a password say, does not get into the guest",
  "-AllowOverride=": "none of these can be switched in a running server by a program in the guest (vncconfig)",
  "-AcceptSetDesktopSize=0": "a viewer does not resize the screen",
  "-nolisten tcp": "X11 itself is on its Unix socket alone",
};

test("the screen's server is started with exactly the flags that are accounted for", async () => {
  const [command = "", ...more] = await inUnit("sallyport-display.service", "ExecStart");
  expect(more).toEqual([]);
  const [program, ...words] = command.split(" ");
  expect(program).toBe("/usr/bin/Xtigervnc");
  expect(words.toSorted()).toEqual(Object.keys(XVNC_FLAGS).join(" ").split(" ").toSorted());
  for (const flag of Object.keys(XVNC_FLAGS)) expect(` ${command} `).toContain(` ${flag} `);
});

test("screen, window manager and browser run as the browser's user, and Firefox without remote control", async () => {
  for (const unit of ["display", "window-manager", "bus", "browser"]) {
    expect(await inUnit(`sallyport-${unit}.service`, "User")).toEqual(["browser"]);
  }
  // No --marionette, no --remote-debugging-port, no profile of somebody's choice.
  expect(await inUnit("sallyport-browser.service", "ExecStart")).toEqual([
    "/usr/bin/firefox-esr --new-instance http://127.0.0.1:8081/",
  ]);
});

describe("Firefox's policies", () => {
  test.each<[policy: string, value: unknown, why: string]>([
    [
      "WebsiteFilter",
      { Block: ["file://*/*"] },
      "pages and viewers read no file of the guest: not the session, not the policies",
    ],
    ["AllowFileSelectionDialogs", false, "no dialog that shows the guest's folders, or uploads from them"],
    ["BlockAboutConfig", true, "no setting is changed by hand: locked ones could be worked round there"],
    ["BlockAboutAddons", true, "no add-on is put in"],
    ["ExtensionSettings", { "*": { installation_mode: "blocked" } }, "nor by a page"],
    ["BlockAboutProfiles", true, "no profile without these preferences"],
    ["BlockAboutSupport", true, "no way from there to a safe mode or a profile's folder"],
    ["DisableSafeMode", true, "no start without the policies' preferences"],
    ["DisableDeveloperTools", true, "nothing is typed into a provider's page on somebody's advice"],
    ["DisableProfileImport", true, "no reading of other profiles"],
    ["DisableFirefoxAccounts", true, "nothing of a sign-in is synchronised"],
    ["DisableFormHistory", true, "nothing that was typed is kept"],
    ["OfferToSaveLogins", false, "no password is kept"],
    ["PasswordManagerEnabled", false, "nor offered"],
    ["PrintingEnabled", false, "no print to a file"],
    ["DisableFirefoxScreenshots", true, "no picture of a sign-in is kept"],
    ["DisableTelemetry", true, "nothing is reported elsewhere"],
    [
      "DNSOverHTTPS",
      { Enabled: false, Locked: true },
      "names are asked of the host's resolver, whose list of domains is the limit",
    ],
    [
      "Homepage",
      { URL: "http://127.0.0.1:8081/", StartPage: "homepage-locked", Locked: true },
      "the page that names provider and user",
    ],
  ])("%s is %j: %s", async (policy, value) => {
    const { policies } = JSON.parse(await textOf("etc/firefox/policies/policies.json"));
    expect(policies[policy]).toEqual(value);
  });

  test("every preference but the one that the agent needs is locked", async () => {
    const { policies } = JSON.parse(await textOf("etc/firefox/policies/policies.json"));
    const free = Object.entries<{ Status: string }>(policies.Preferences).filter(
      ([, { Status }]) => Status !== "locked",
    );
    expect(free.map(([name]) => name)).toEqual(["browser.link.open_newwindow.override.external"]);
  });
});

describe("clones of one frozen machine", () => {
  test("find nothing random that was made ready before they were one: neither process nor fork server, nor a state out of reach", async () => {
    const { policies } = JSON.parse(await textOf("etc/firefox/policies/policies.json"));
    // A process made ahead has the template's random state, and the provider's own page would get it.
    expect(policies.Preferences["dom.ipc.processPrelaunch.enabled"]).toEqual({ Value: false, Status: "locked" });
    const lines = (await textOf("usr/lib/firefox-esr/defaults/pref/sallyport.js")).split("\n");
    expect(lines.filter((line) => line !== "" && !line.startsWith("//"))).toEqual([
      'pref("general.config.filename", "sallyport.cfg");',
      'pref("general.config.obscure_value", 0);',
      'pref("general.config.sandbox_enabled", false);',
      'pref("dom.ipc.forkserver.enable", false, locked);',
      'pref("network.process.enabled", false, locked);',
    ]);
  });

  test("are renewed by a script that nobody but root and the browser's user can start, over a socket that no page can open", async () => {
    const script = await textOf("usr/lib/firefox-esr/sallyport.cfg");
    // Firefox never reads the first line.
    expect(script).toMatch(/^\/\/ /);
    expect(script).toContain('"/run/browser/renew.sock"');
    expect(script).toContain("initWithFilename(file, 0o600, ");
    expect(await inUnit("sallyport-bus.service", "RuntimeDirectoryMode")).toEqual(["0700"]);
  });

  test("are given a kernel that refuses too few bytes, before it touches anything", async () => {
    const script = await textOf("usr/lib/sallyport/renew-kernel.pl");
    // As nobody: should it not refuse, this host's kernel does.
    const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", "perl", "-e", script];
    const [file, args] = process.getuid?.() === 0 ? ["setpriv", asNobody] : ["perl", ["-e", script]];
    const short = run(file, args, { input: `${"00".repeat(63)}\n` });
    await expect(short).rejects.toMatchObject({ message: expect.stringContaining("Only 63 bytes came.") });
  });
});

test("the guest has no IPv6, on interfaces that are there and on those to come", async () => {
  const lines = (await textOf("etc/sysctl.d/60-sallyport.conf")).split("\n").filter((line) => /^[^#]/.test(line));
  expect(lines).toEqual(["net.ipv6.conf.all.disable_ipv6 = 1", "net.ipv6.conf.default.disable_ipv6 = 1"]);
});

describe("the channel over vsock", () => {
  test("is listened for at the port that the host connects to, whatever the host does", async () => {
    expect(await inUnit("sallyport-channel.socket", "ListenStream")).toEqual([`vsock::${CHANNEL_VSOCK_PORT}`]);
    expect(await inUnit("sallyport-channel.socket", "TriggerLimitIntervalSec")).toEqual(["0"]);
  });

  test("goes to the agent's own socket, once that is there", async () => {
    const [wait] = await inUnit("sallyport-channel.service", "ExecStartPre");
    expect(wait).toContain(` -S ${CHANNEL_SOCKET} `);
    const [proxy = ""] = await inUnit("sallyport-channel.service", "ExecStart");
    expect(proxy.split(" ").at(-1)).toBe(CHANNEL_SOCKET);
    expect(await inUnit("sallyport-channel.service", "TimeoutStartSec")).toEqual(["infinity"]);
  });

  test("starts with the device, not at boot: where there is none nothing can fail", async () => {
    expect(await textOf("etc/udev/rules.d/60-sallyport-channel.rules")).toMatch(
      /^SUBSYSTEM=="virtio", DRIVER=="vmw_vsock_virtio_transport", TAG\+="systemd", ENV\{SYSTEMD_WANTS\}\+="sallyport-channel.socket"$/m,
    );
    for (const unit of ["sallyport-channel.socket", "sallyport-channel.service"]) {
      expect(await inUnit(unit, "WantedBy")).toEqual([]);
    }
  });

  test("is out of reach of the guest's own programs: none gets the loopback loaded by asking for a socket", async () => {
    expect(await textOf("etc/modprobe.d/sallyport-vsock.conf")).toMatch(/^alias net-pf-40 off$/m);
  });
});
