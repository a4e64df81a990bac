import { crc32 } from "node:zlib";

/**
 * First of the users that a controller's VMMs run as (`vm.uidBase`), of each data directory another: whatever runs as a microVM's user
 * ends with the microVM, so that two controllers on one host need ranges of their own.
 */
export const ownUidBase = (dataDir: string): number => 1_000_000 + (crc32(dataDir) % 100_000) * 2048;
