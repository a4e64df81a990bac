/** The command line of a guest's kernel: what is the same in every VMM, around what is its own. Pure. */
export const kernelLine = (own: string[], kernelArgs: string[]): string =>
  [
    ...own,
    // Reboots, which ends the VMM.
    "panic=1",
    "root=/dev/vda ro",
    "net.ifnames=0",
    // `quiet` would hide the status lines of systemd and, with its own log level, the kernel's notices.
    "quiet loglevel=6 systemd.show_status=yes",
    ...kernelArgs,
  ].join(" ");
