/** Bytes in a mebibyte. */
export const MIB = 1024 * 1024;
