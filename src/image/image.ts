/** What an image is once built: immutable, found by the digest of its content. */
export interface Image {
  name: string;
  /** `sha256:<hex>` over the digests of the three files and the recipe. */
  digest: string;
  base: string;
  builtAt: string;
  /** Bytes on disk. */
  bytes: number;
  rootfs: string;
  vmlinux: string;
  initrd: string;
}
