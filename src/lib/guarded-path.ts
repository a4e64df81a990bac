/** Whether somebody else on this machine could put something of theirs in the place of what is at a path. */
import { lstatSync, type Stats } from "node:fs";
import { dirname, resolve } from "node:path";
import { AppError } from "./errors.ts";

/** Users who may own what is on the way: root, and whoever runs this program. */
const trustedUsers = (): number[] => [0, process.geteuid?.() ?? 0];

/**
 * The socket at `path`, if it and every folder above it belong to `users` and nobody else may write in those folders: then only
 * they can have put it there. A sticky folder (/tmp) is refused as well: whoever comes first there has the name. Links are refused
 * wherever they lead. Throws AppError `path-unguarded` naming what is wrong, and ENOENT or EACCES as they come.
 */
export const requireGuardedSocket = (path: string, users = trustedUsers()): Stats => {
  requireGuardedFolder(dirname(resolve(path)), users);
  const socket = lstatSync(resolve(path));
  if (!socket.isSocket()) throw unguarded(path, path, "is no socket");
  // Who may write to a socket may connect, which is no harm here.
  if (!users.includes(socket.uid)) throw unguarded(path, path, `belongs to user ${socket.uid}`);
  return socket;
};

/** The same for a folder and those above it. */
export const requireGuardedFolder = (path: string, users = trustedUsers()): void => {
  const fault = faultOfFolders(resolve(path), users);
  if (fault) throw unguarded(path, fault.part, fault.what);
};

/**
 * The same for a program that is to be run as it stands at `path`: only `users` can have put it there or can change it. Throws
 * AppError `program-unguarded`.
 */
export const requireGuardedProgram = (path: string, users = trustedUsers()): void => {
  const status = lstatSync(path);
  const what = status.isFile() ? faultOf(status, users) : "is no file";
  const fault = what === undefined ? faultOfFolders(dirname(resolve(path)), users) : { part: path, what };
  if (!fault) return;
  const sentence = `${path} is not run: ${fault.part === path ? "it" : fault.part} ${fault.what}, so that somebody else could choose what root runs.`;
  throw new AppError("forbidden", "program-unguarded", sentence, {
    hint: `Put the program where it and every folder above it belong to root and nobody else may write, as in /usr/local/bin.${mendOf(fault.part, users)}`,
  });
};

/** What else would do. Not of a folder that is another user's, or that all are meant to write to (/tmp): they need it as it is. */
const mendOf = (part: string, users: number[]): string => {
  const status = lstatSync(part);
  if (status.isFile()) return ` Or, if it is the right one: chown root:root ${part} && chmod go-w ${part}`;
  const isRoots = status.isDirectory() && users.includes(status.uid) && (status.mode & 0o1000) === 0;
  return isRoots && dirname(part) !== "/home" ? ` Or, if nobody else has to write to it: chmod go-w ${part}` : "";
};

/** Of a folder and those above it, the first thing that lets somebody else change what is in it. */
const faultOfFolders = (path: string, users: number[]): { part: string; what: string } | undefined => {
  for (let part = path; ; part = dirname(part)) {
    const status = lstatSync(part);
    const kind = status.isSymbolicLink() ? "is a symbolic link" : "is no folder";
    const what = status.isDirectory() ? faultOf(status, users) : kind;
    if (what !== undefined) return { part, what };
    if (part === "/") return undefined;
  }
};

const faultOf = ({ uid, mode }: Stats, users: number[]): string | undefined => {
  if (!users.includes(uid)) return `belongs to user ${uid}`;
  // Where access lists are set, the group's bits are the most that any of them grants.
  return (mode & 0o022) === 0 ? undefined : "may be written by others";
};

/**
 * Refuses what others may have chosen or can exchange the content of: `status`, as lstat has it, is not of this program's own user's
 * folder or file, or others may write there. Folders above it are not looked at. Throws AppError `path-not-ours`.
 */
export const requireOurs = (path: string, status: Stats, kind: "folder" | "file"): void => {
  const own = process.geteuid?.() ?? 0;
  const fault = whyNotOurs(status, kind);
  if (fault === undefined) return;
  const sentence = `${path} ${fault}: somebody else may have chosen the keys that the controller believes.`;
  throw new AppError("forbidden", "path-not-ours", sentence, {
    hint: `Is all in it yours? Then chown ${own} it, chmod go-w it, and name it itself, not a link. If not, give the controller a dataDir that only it can change.`,
  });
};

/** The same as words that follow its path; undefined: it is. */
export const whyNotOurs = (status: Stats, kind: "folder" | "file"): string | undefined => {
  const isKind = kind === "folder" ? status.isDirectory() : status.isFile();
  const faults = [
    ...(status.isSymbolicLink() ? ["is a symbolic link"] : isKind ? [] : [`is no ${kind}`]),
    ...(status.uid === (process.geteuid?.() ?? 0) ? [] : [`belongs to user ${status.uid}`]),
    ...(isKind && (status.mode & 0o022) !== 0 ? ["may be written by others"] : []),
  ];
  return faults.length === 0 ? undefined : faults.join(" and ");
};

const unguarded = (path: string, part: string, what: string): AppError => {
  const sentence = `${path} is not safe: ${part === path ? "it" : part} ${what}, so that somebody else could answer there.`;
  return new AppError("forbidden", "path-unguarded", sentence, {
    hint: "The socket and every folder above it must belong to root or to you, be no links, and be writable by nobody else.",
  });
};
