/**
 * What of Firecracker's API is used here: requests, their fields, and the version that brought what not every supported one has.
 * Made by us from the API's published description and the change log of Firecracker 1.17, checked against 1.12.1 itself.
 */
import { compareVersions } from "../../lib/versions.mjs";

/** `a.b` or `a.b.c`. */
type Since = string;

interface Field {
  since?: Since;
  isRequired?: true;
  /** Fields of its own. */
  of?: Fields;
  /** Of a list: fields of each. */
  ofEach?: Fields;
}
type Fields = Readonly<Record<string, Field>>;

const needed: Field = { isRequired: true };
const optional: Field = {};

/** Tokens are bytes or operations; `refill_time` is in milliseconds. */
const tokenBucket: Fields = { size: needed, refill_time: needed, one_time_burst: optional };
const rateLimiter: Field = { of: { bandwidth: { of: tokenBucket }, ops: { of: tokenBucket } } };

const REQUESTS: Readonly<Record<string, { since?: Since; fields: Fields }>> = {
  "GET /": { fields: {} },
  "PUT /machine-config": { fields: { vcpu_count: needed, mem_size_mib: needed } },
  "PUT /boot-source": { fields: { kernel_image_path: needed, initrd_path: optional, boot_args: optional } },
  "PUT /drives/{id}": {
    fields: {
      drive_id: needed,
      is_root_device: needed,
      path_on_host: needed,
      is_read_only: optional,
      rate_limiter: rateLimiter,
    },
  },
  "PUT /network-interfaces/{id}": {
    fields: {
      iface_id: needed,
      host_dev_name: needed,
      guest_mac: optional,
      rx_rate_limiter: rateLimiter,
      tx_rate_limiter: rateLimiter,
      mtu: { since: "1.16" },
    },
  },
  "PUT /vsock": { fields: { guest_cid: needed, uds_path: needed } },
  "PUT /entropy": { fields: { rate_limiter: rateLimiter } },
  // Its limiter is a bucket of bytes itself.
  "PUT /serial": { since: "1.14", fields: { rate_limiter: { since: "1.16", of: tokenBucket } } },
  "PATCH /vm": { fields: { state: needed } },
  "PUT /snapshot/create": { fields: { snapshot_path: needed, mem_file_path: needed, snapshot_type: optional } },
  "PUT /snapshot/load": {
    fields: {
      snapshot_path: needed,
      mem_backend: { of: { backend_type: needed, backend_path: needed } },
      resume_vm: optional,
      network_overrides: { since: "1.12", ofEach: { iface_id: needed, host_dev_name: needed } },
    },
  },
  "PUT /actions": { fields: { action_type: needed } },
};

export interface ApiRequest {
  method: "GET" | "PUT" | "PATCH";
  path: string;
  body?: Readonly<Record<string, unknown>>;
}

/** What a Firecracker of this version would refuse in a request, as sentences. Pure. */
export const faultsOf = ({ method, path, body = {} }: ApiRequest, version: string): string[] => {
  const name = `${method} ${path.replace(/^(\/(?:drives|network-interfaces)\/)[\w-]+$/, "$1{id}")}`;
  const known = REQUESTS[name];
  if (!known) return [`${name} is no request that is used here`];
  if (!isSince(known.since, version)) return [`${name} is there since ${known.since}`];
  return faultsOfFields(known.fields, body, name, version);
};

const faultsOfFields = (fields: Fields, value: unknown, name: string, version: string): string[] => {
  if (typeof value !== "object" || value === null) return [`${name} is no object`];
  const missing = Object.keys(fields).filter((key) => fields[key]?.isRequired && !(key in value));
  return [
    ...missing.map((key) => `${name} lacks ${key}`),
    ...Object.entries(value).flatMap(([key, part]) => {
      const [field, full] = [fields[key], `${name} ${key}`];
      if (!field) return [`${full} is no field that is known`];
      if (!isSince(field.since, version)) return [`${full} is there since ${field.since}`];
      const { of, ofEach } = field;
      if (ofEach && !Array.isArray(part)) return [`${full} is no list`];
      if (ofEach) return part.flatMap((one: unknown) => faultsOfFields(ofEach, one, full, version));
      return of ? faultsOfFields(of, part, full, version) : [];
    }),
  ];
};

const knows = (request: string, field: string, version: string): boolean => {
  const known = REQUESTS[request];
  const found = known?.fields[field];
  return found !== undefined && isSince(known?.since, version) && isSince(found.since, version);
};

/** Whether this version drops what a guest writes to its console over a rate. Pure. */
export const canLimitConsole = (version: string): boolean => knows("PUT /serial", "rate_limiter", version);
/** Whether it tells the guest how long a packet may be. Pure. */
export const canSetMtu = (version: string): boolean => knows("PUT /network-interfaces/{id}", "mtu", version);

const isSince = (since: Since | undefined, version: string): boolean =>
  since === undefined || compareVersions(version, since) >= 0;
