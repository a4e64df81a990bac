#!/bin/bash
# What a create and a destroy cost when nobody keeps a ledger, looks for what is left, or bounds what a microVM may do: the same things in
# the kernel, by as few programs as there can be. Arguments: how often, a number of its own, the program that plays the VMM, a folder,
# the control group to make one in. Prints microseconds of each: of all, and of these parts of it, which the kernel takes: the namespace is
# made, the TAP leaves it, the TAP and the rest are deleted, the firewall forgets the guest.
set -eu
times=$1 self=$2 vmm=$3 folder=$4 group=$5/floor-$2
tap=fl$self ns=fl$self address=192.168.103.$self mac=02:00:00:00:00:$(printf %02x "$self") bridge=br0
part() {
  local at=${EPOCHREALTIME/./}
  "$@"
  parts+=" $((${EPOCHREALTIME/./} - at))"
}
batch() { printf '%s\n' "$@" | ip -batch -; }
for _ in $(seq "$times"); do
  parts=
  begin=${EPOCHREALTIME/./}
  mkdir -p "$folder/$self" "$group"
  part ip netns add $ns
  ip -netns $ns tuntap add dev $tap mode tap
  nft add element inet sallyport guests "{ $address . $mac }"
  (echo 0 >"$group/cgroup.procs" && exec nsenter --net=/run/netns/$ns -- "$vmm" $tap "$folder/$self/sock" >"$folder/$self/out") &
  for _ in {1..5000}; do [ -S "$folder/$self/sock" ] && break || sleep 0.001; done
  part ip -netns $ns link set dev $tap netns $$
  batch "link set dev $tap master $bridge" "link set dev $tap type bridge_slave isolated on" "link set dev $tap up" \
    "neigh replace $address lladdr $mac dev $bridge nud permanent"
  kill -9 $!
  wait $! 2>/dev/null || true
  part batch "link delete dev $tap" "netns delete $ns" "neigh delete $address dev $bridge"
  part nft delete element inet sallyport guests "{ $address . $mac }"
  rm -r "$folder/$self"
  rmdir "$group"
  echo $((${EPOCHREALTIME/./} - begin))$parts
done
