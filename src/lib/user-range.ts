/** Numbers of the users that VMMs and the guests' resolver run as. */

/** Of a Linux bridge: BR_PORT_BITS in net/bridge/br_private.h is 10. */
export const BRIDGE_PORTS = 1024;

/** Users that VMMs run as, first and last: one for each port that a Linux bridge can have. */
export const vmmUids = (uidBase: number): [number, number] => [uidBase, uidBase + BRIDGE_PORTS];

/** The user that the guests' resolver runs as: the one after the VMMs'. */
export const resolverUid = ([, last]: [number, number]): number => last + 1;
