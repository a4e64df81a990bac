/** A guest's network card, as the host sees it. */
export interface GuestNic {
  /** Interface name, at most 15 characters. */
  tap: string;
  mac: string;
  address: string;
  /** Owner of the TAP: the VMM's user. */
  uid: number;
}
